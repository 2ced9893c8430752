// An honest, simple measure of a new password, beside the rules the server holds: length first, then variety.
// It never sends anything. Without this file the field works the same.
for (const field of document.querySelectorAll("input[data-strength]")) {
  const least = Number(field.dataset.strength);
  const box = field.closest(".field");
  const meter = Object.assign(document.createElement("meter"), { min: 0, max: 4, low: 2, high: 3, optimum: 4, value: 0 });
  const words = document.createElement("p");
  words.className = "hint";
  words.setAttribute("role", "status");
  const texts = document.getElementById("strength-words").dataset;
  meter.setAttribute("aria-label", texts.label);

  // Repetitions and runs ("aaaa", "1234", "abcabc") add little to what must be guessed.
  const counted = (text) => {
    let worth = 0;
    [...text].forEach((c, i, all) => {
      const step = i ? c.codePointAt(0) - all[i - 1].codePointAt(0) : 9;
      const seen = i > 2 && text.slice(0, i).includes(text.slice(i - 2, i + 1));
      worth += Math.abs(step) <= 1 || seen ? 0.25 : 1;
    });
    return worth * Math.min(1, new Set(text).size / 6);
  };

  const judge = () => {
    const worth = counted(field.value);
    const level = [...field.value].length < least ? 1 : worth < 10 ? 2 : worth < 16 ? 3 : 4;
    meter.value = field.value ? level : 0;
    words.textContent = field.value ? texts[`level${level}`] : "";
  };
  field.addEventListener("input", judge);
  box.append(meter, words);
}
