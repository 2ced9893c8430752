// Without this file the check works, and sees less: what only a script can see is put into the form before it is sent.
const form = document.getElementById("check");
const report = new URLSearchParams(location.hash.slice(1)).get("report");

const look = async () => {
  const seen = {protocol: location.protocol, cookies_enabled: navigator.cookieEnabled};
  seen.planted = document.cookie.split("; ").some((pair) => pair.startsWith(`${form.dataset.cookie}=`));
  const sent = Date.now();
  try {
    const answer = await fetch("/api/doctor/seen", {cache: "no-store"});
    seen.clock = (sent + Date.now()) / 2 - (await answer.json()).time;
    const session = await fetch("/api/session");
    const header = (name) => (session.headers.get(name) ?? "").slice(0, 300);
    Object.assign(seen, {age: header("Age"), x_cache: header("X-Cache"), vary: header("Vary")});
    seen.cache_control = header("Cache-Control");
  } catch { /* what could not be asked is left out */ }
  return JSON.stringify(seen);
};

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  form.querySelector("button").disabled = true;
  form.elements.seen.value = await look();
  form.submit();
});

// Handed over by the page of an app that could not reach us itself (docs/doctor.md).
if (form && report) {
  form.elements.report.value = report.slice(0, 4096);
  document.getElementById("from-app").hidden = false;
}

for (const button of document.querySelectorAll("button[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
    button.textContent = button.dataset.copied;
  });
}
