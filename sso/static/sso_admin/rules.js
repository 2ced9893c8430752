// The trial answers while rules are edited; cards move up and down.
const form = document.getElementById("rules");
const said = document.getElementById("said");

const row = (name, value, parent) => {
  const line = document.createElement("p");
  const label = document.createElement("b");
  label.textContent = `${name}: `;
  line.append(label, value);
  parent.append(line);
};

const show = (found) => {
  said.replaceChildren();
  said.dataset.verdict = found.problem ? "problem" : found.verdict;
  if (found.problem) return void (said.textContent = found.problem);
  row(said.dataset.verdictWord, found.verdict, said);
  row(said.dataset.ruleWord, found.rule, said);
  row(said.dataset.whyWord, found.reason, said);
};

let asked = 0;
const tryOut = async () => {
  const mine = ++asked;
  const answer = await fetch(form.dataset.trial, { method: "POST", body: new FormData(form) });
  if (mine !== asked) return; // a later question is on its way
  if (answer.ok && answer.headers.get("content-type")?.includes("json")) show(await answer.json());
  else said.textContent = said.dataset.lost;
};

let waiting;
const soon = () => { clearTimeout(waiting); waiting = setTimeout(() => tryOut().catch(() => { said.textContent = said.dataset.lost; }), 250); };
form.addEventListener("input", soon);
form.addEventListener("change", soon);
document.getElementById("try-now")?.addEventListener("click", (event) => { event.preventDefault(); soon(); });

const cards = () => [...form.querySelectorAll("[data-card]")];
const number = () => cards().forEach((card, at) => { card.querySelector("[name$=-ORDER]").value = at + 1; });
for (const button of form.querySelectorAll("[data-move]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const card = button.closest("[data-card]");
    if (button.dataset.move === "up") card.previousElementSibling?.matches("[data-card]") && card.previousElementSibling.before(card);
    else card.nextElementSibling?.matches("[data-card]") && card.nextElementSibling.after(card);
    number();
    button.focus();
    soon();
  });
}
soon();
