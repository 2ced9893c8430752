(async (hub, yourCall) => {
  // Runs in your app's page, makes your own call and a few more, and says why the hub does not know you there.
  const seen = {origin: location.origin, framed: window !== window.top, csp: false, planted: false};
  seen.planted = document.cookie.split("; ").some((pair) => pair.startsWith("__COOKIE__="));
  document.addEventListener("securitypolicyviolation", (event) => {
    if (event.blockedURI.startsWith(hub)) seen.csp = true;
  });
  const ask = async (credentials, mode = "cors") => {
    try {
      const sent = Date.now();
      const answer = await fetch(`${hub}/api/doctor/seen`, {credentials, mode, cache: "no-store"});
      if (mode === "cors" && !answer.ok) return "failed";
      if (credentials === "include") {
        seen.arrived = await answer.json();
        seen.clock = (sent + Date.now()) / 2 - seen.arrived.time;
      }
      return "ok";
    } catch { return "failed"; }
  };
  const realFetch = window.fetch, {open, send} = XMLHttpRequest.prototype;
  const note = (address, credentials) => {
    const mine = new URL(address, location.href).href.startsWith(hub);
    return mine ? (seen.call = {credentials, outcome: "untried"}) : {};
  };
  window.fetch = async (input, options) => {
    const call = note(input.url ?? input, options?.credentials ?? input.credentials ?? "same-origin");
    try {
      const answer = await realFetch(input, options);
      call.outcome = "ok";
      return answer;
    } catch (error) { call.outcome = "failed"; throw error; }
  };
  XMLHttpRequest.prototype.open = function (method, address, ...more) {
    this.doctorAddress = address;
    return open.call(this, method, address, ...more);
  };
  XMLHttpRequest.prototype.send = function (body) {
    const call = note(this.doctorAddress, this.withCredentials ? "include" : "same-origin");
    this.addEventListener("load", () => { call.outcome = "ok"; });
    this.addEventListener("error", () => { call.outcome = "failed"; });
    return send.call(this, body);
  };
  try { await yourCall(); } catch { /* its outcome is noted */ }
  window.fetch = realFetch;
  Object.assign(XMLHttpRequest.prototype, {open, send});
  seen.include = await ask("include");
  if (seen.include === "failed") {
    seen.omit = await ask("omit");
    seen.opaque = await ask("omit", "no-cors");
  }
  await new Promise((done) => setTimeout(done, 0));
  const report = JSON.stringify(seen);
  try {
    const answer = await fetch(`${hub}/api/doctor/judge`, {method: "POST", credentials: "omit", body: report});
    const {findings} = await answer.json();
    if (!findings.length) console.log("The cookie doctor found nothing wrong.");
    for (const {code, what, why, change} of findings) console.warn(`${code}: ${what}\n${why}\nChange: ${change}`);
    return findings;
  } catch {
    const link = `${hub}/trouble/#report=${encodeURIComponent(report)}`;
    console.warn(`The hub does not answer this page. Open this address to see why:\n${link}`);
    return link;
  }
})("__HUB__", () => fetch("__HUB__/api/session", {credentials: "include"}));
