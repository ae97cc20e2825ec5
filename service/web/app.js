// The page's frame: which view is shown is in the address behind the hash, so that every view can be linked to.

import { connection } from "./api.js";
import { el, fill } from "./dom.js";
import { icon } from "./icons.js";
import "./service-banner.js";
import "./session.js";
import { errorBox } from "./state-words.js";
import "./theme-toggle.js";

/** Each view is loaded when it is first looked at. */
const VIEWS = {
  denoise: { title: "Denoise", load: () => import("./denoise-view.js"), kept: true },
  jobs: { title: "Jobs", load: () => import("./jobs-view.js") },
  finetune: { title: "Fine-tune", load: () => import("./finetune-view.js") },
  validate: { title: "Validate", load: () => import("./validate-view.js") },
  models: { title: "Models", load: () => import("./models-view.js") },
};
const FIRST = "denoise";

const main = document.getElementById("main");
const links = new Map();
/** @type {Map<string, HTMLElement>} Views that go on while others are shown. */
const kept = new Map();
let shown = "";

function route() {
  const [, name = FIRST, ...rest] = location.hash.split("/");
  return name in VIEWS ? { name, id: decodeURIComponent(rest.join("/")) } : { name: FIRST, id: "" };
}

async function showRoute() {
  const { name, id } = route();
  const changed = name !== shown;
  try {
    await VIEWS[name].load();
  } catch (error) {
    fill(main, errorBox({ code: "unreachable", message: String(error.message) }));
    return;
  }
  if (name !== route().name) return; // somebody was faster than the network
  shown = name;
  for (const [each, link] of links) {
    if (each === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${VIEWS[name].title} · Photosite`;
  const reuse = changed ? kept.get(name) : main.firstElementChild;
  const view = reuse ?? el(`${name}-view`);
  if (VIEWS[name].kept) kept.set(name, view);
  if (view.parentNode !== main) fill(main, view);
  if (changed && document.activeElement !== document.body) main.focus({ preventScroll: true });
  if (changed) window.scrollTo(0, 0);
  view.show(id);
}

function buildFrame() {
  const items = Object.entries(VIEWS).map(([name, { title }]) => {
    const link = el("a", { href: `#/${name}` }, icon(name), el("span", {}, title));
    links.set(name, link);
    return el("li", {}, link);
  });
  fill(document.getElementById("nav"), el("ul", {}, items));
  fill(document.getElementById("tools"), el("session-key"), el("theme-toggle"));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // its hash is no view's
    main.focus();
  });
}

async function start() {
  buildFrame();
  const banner = document.querySelector("service-banner");
  try {
    await document.querySelector("session-key").unlock();
    banner.check();
  } catch {
    // the service is away: the banner says so, and the view shows what it can
  }
  document.querySelector("session-key").addEventListener("unlocked", () => showRoute());
  connection.addEventListener("back", () => showRoute());
  window.addEventListener("hashchange", () => showRoute());
  await showRoute();
}

start();
