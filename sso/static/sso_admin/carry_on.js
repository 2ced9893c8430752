// The page that shows how many sessions have ended asks for the next portion. Without scripts its button does.
addEventListener("DOMContentLoaded", () => {
  const form = document.querySelector("form[data-carry-on]");
  form.querySelector("button").hidden = true;
  form.submit();
});
