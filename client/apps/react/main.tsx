import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { usePageTracking, usePresence } from "presence-client/react";
import { cart, otherSite, service, start, textOf } from "../common/here.ts";

const Here = ({ site, path }: { site: string; path: string }) => {
  usePageTracking({ ...service, site });
  const here = usePresence({ api: service.api, site, path });
  return <output data-state={here.state}>{textOf(here)}</output>;
};

const App = () => {
  const [site, setSite] = useState(service.site);
  const [path, setPath] = useState(start);
  const [isShown, setShown] = useState(true);
  const toCart = () => {
    history.pushState(null, "", cart + location.search);
    setPath(cart);
  };
  return (
    <>
      {isShown && <Here site={site} path={path} />}
      <button onClick={toCart}>Cart</button>
      <button onClick={() => setSite(otherSite)}>Other site</button>
      <button onClick={() => setShown(false)}>Hide</button>
    </>
  );
};

createRoot(document.getElementById("app")!).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
