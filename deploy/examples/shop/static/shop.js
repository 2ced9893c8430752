// Everything a single-page app needs of the auth server is in the first part: three calls, with credentials.
const hub = document.querySelector('meta[name="sso-hub"]').content;

/** The hub did not say who this is: that is neither "signed in" nor "nobody". */
class Unknown extends Error {}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(hub + path, { credentials: "include", cache: "no-store", ...options });
  } catch {
    throw new Unknown();
  }
  if (response.status === 429 || response.status >= 500) throw new Unknown();
  return response;
}

/** The person signed in, or null. Throws Unknown. */
async function whoIsHere() {
  const response = await ask("/api/session");
  return response.ok ? (await response.json()).user : null;
}

/** Where to sign in, and come back to this very address. */
const loginUrl = () => `${hub}/login/?${new URLSearchParams({ rd: location.href })}`;

/** End this sign-in at every app. Throws Unknown. */
async function signOut() {
  const { csrf_token: token } = await (await ask("/api/csrf")).json();
  const response = await ask("/api/session", { method: "DELETE", headers: { "X-CSRF-Token": token } });
  if (!response.ok) throw new Unknown();
}

// The shop itself.
const $ = (id) => document.getElementById(id);
const euro = new Intl.NumberFormat("en", { style: "currency", currency: "EUR" });
let person = null;
let goods = [];

function note(text) {
  $("note").hidden = !text;
  $("note").querySelector("p").textContent = text;
}

function showPerson() {
  const name = person ? person.name || person.username : "";
  $("person").hidden = $("sign-out").hidden = !person;
  $("sign-in").hidden = Boolean(person);
  $("sign-in").href = loginUrl();
  $("who").textContent = name;
  document.querySelector(".initials").textContent = name.slice(0, 1).toUpperCase();
  $("lead").textContent = person ? `Hello, ${name}. What may we pack for you?` : "Look around. Sign in to order.";
  if (!person) $("orders").hidden = true;
}

function picture(slug) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/items.svg#${slug}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function card({ slug, name, price }) {
  const link = element("a", { href: `/items/${slug}?from=list`, textContent: name });
  const buy = element("button", { textContent: "Order", onclick: () => order(slug) });
  buy.setAttribute("aria-label", `Order: ${name}`);
  const foot = element("p", { className: "foot" }, euro.format(price / 100), person ? buy : "");
  return element("li", { className: "card" }, picture(slug), element("h2", {}, link), foot);
}

function showItems() {
  const slug = location.pathname.match(/^\/items\/([a-z]+)$/)?.[1];
  const shown = slug ? goods.filter((item) => item.slug === slug) : goods;
  $("title").textContent = slug ? shown[0]?.name ?? "We do not sell that" : "Tea things";
  document.title = `${$("title").textContent} · Shop`;
  $("items").classList.toggle("one", Boolean(slug));
  $("items").replaceChildren(...shown.map(card));
}

/** Our own API; its 401 means the sign-in ended since the page asked. */
async function own(path, options) {
  const response = await fetch(path, { cache: "no-store", ...options });
  if (response.status === 401) {
    person = null;
    render();
    note("Your sign-in has ended. Sign in to go on.");
  } else if (!response.ok) {
    throw new Unknown();
  }
  return response.ok ? response.json() : null;
}

function showOrders(list) {
  if (!list) return;
  const names = new Map(goods.map(({ slug, name }) => [slug, name]));
  $("orders").hidden = false;
  $("orders-list").textContent = list.length ? list.map((slug) => names.get(slug)).join(", ") : "None yet.";
}

async function order(item) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ item }) };
  await attempt(async () => showOrders(await own("/api/orders", options)));
}

function render() {
  showPerson();
  showItems();
}

/** Do it; when nobody can say who this is, say that, and keep on the page what it showed. */
async function attempt(action, next = "Please try again in a moment.") {
  try {
    note("");
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Unknown)) throw error;
    note(`We cannot see who is signed in right now. You are not signed out. ${next}`);
    return false;
  }
}

async function look() {
  const known = await attempt(async () => {
    person = await whoIsHere();
    render();
    if (person) showOrders(await own("/api/orders"));
  }, "We keep trying.");
  if (!known) setTimeout(look, 2000);
}

$("sign-out").onclick = async ({ currentTarget: button }) => {
  button.disabled = true;
  await attempt(async () => {
    await signOut();
    person = null;
    render();
  });
  button.disabled = false;
};

// Somebody may have signed in or out elsewhere while this page was out of sight, or come back by the back button.
document.addEventListener("visibilitychange", () => document.hidden || look());
addEventListener("pageshow", (event) => event.persisted && look());

goods = await (await fetch("/api/items")).json();
showItems();
await look();
