// Without this file the page works the same; with it, the password can be looked at before it is sent.
for (const button of document.querySelectorAll("button[data-shows]")) {
  const field = document.getElementById(button.dataset.shows);
  const show = (visible) => {
    field.type = visible ? "text" : "password";
    button.setAttribute("aria-pressed", String(visible));
    button.textContent = visible ? button.dataset.hide : button.dataset.show;
  };
  button.hidden = false;
  button.addEventListener("click", () => show(field.type === "password"));
  // Sent as a password, so that no browser keeps it among what was typed before.
  field.form.addEventListener("submit", () => show(false));
  // A page from the back/forward cache must not come back with a readable password.
  window.addEventListener("pagehide", () => show(false));
}
