// A site that changes its page without loading another, as many do.
let stop = () => {};

function show() {
  const link = [...document.querySelectorAll("nav a")].find((a) => a.pathname === location.pathname);
  document.querySelector("h1").textContent = link ? link.textContent : "Not found";
  stop();
  stop = window.presence.subscribe(
    ({ activeOnPath }) => (document.getElementById("here").textContent = activeOnPath),
    { path: location.pathname },
  );
}

document.querySelector("nav").addEventListener("click", (event) => {
  if (!event.target.href || event.metaKey || event.ctrlKey) return;
  event.preventDefault();
  history.pushState(null, "", event.target.href);
  show();
});
addEventListener("popstate", show);
show();
