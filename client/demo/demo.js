// A site that changes its page without loading another, as many do.
let stop = () => {};
const show = () => {
  const link = [...document.querySelectorAll("nav a")].find((a) => a.pathname === location.pathname);
  document.querySelector("h1").textContent = link ? link.textContent : "Not found";
  stop();
  const tell = ({ activeOnPath }) => (document.getElementById("here").textContent = activeOnPath);
  stop = window.presence.subscribe(tell, { path: location.pathname });
};
document.querySelector("nav").addEventListener("click", (event) => {
  if (!event.target.href || "loads" in event.target.dataset || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  history.pushState(null, "", event.target.href);
  show();
});
addEventListener("popstate", show);
show();
