import { createPresence } from "/presence-client.js";

// One guest a browser, as a user who is signed in would be.
const guest = (localStorage.demoGuest ??= Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join(""));
const fetchToken = async () => (await fetch(`/demo/token?guest=${guest}`)).text();
window.demoToken = fetchToken; // for the element
createPresence({ site: "demo", user: fetchToken, allowLocalhost: true });
