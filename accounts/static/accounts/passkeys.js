// Passkeys and security keys. Each form names what it does: data-passkey is "sign-in", "create" or "confirm".
// Without this file, or in a browser without passkeys, the buttons stay hidden and every other way works.

const able = () => "PublicKeyCredential" in window && "parseRequestOptionsFromJSON" in PublicKeyCredential;

class PasskeyForm {
  constructor(form) {
    this.form = form;
    this.button = document.getElementById(form.dataset.button);
    this.problem = document.getElementById(form.dataset.problem);
    this.waiting = null;
  }

  start() {
    if (!able()) return;
    this.button.hidden = false;
    this.button.addEventListener("click", (event) => {
      event.preventDefault();
      this.byButton();
    });
    if (this.form.dataset.passkey === "sign-in") this.suggest();
  }

  // A challenge is young when it is answered: the sign-in page fetches it, other pages bring it along.
  async options() {
    if (this.form.dataset.passkey !== "sign-in") return JSON.parse(document.getElementById("js_data").textContent);
    const answer = await fetch(this.form.dataset.passkeyAction, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!answer.ok) throw new Error("no challenge");
    return answer.json();
  }

  async ask(more) {
    const given = await this.options();
    if (this.form.dataset.passkey === "create") {
      return { credential: await navigator.credentials.create({ publicKey: this.wanted(given), ...more }) };
    }
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(given.request_options.publicKey);
    return { credential: await navigator.credentials.get({ publicKey, ...more }), state: given.state };
  }

  // A passkey stays on the device and asks for the finger, the face or the PIN; a second step need not.
  wanted(given) {
    const options = structuredClone(given.creation_options.publicKey);
    const alone = this.form.elements.passwordless?.checked ?? false;
    options.authenticatorSelection = {
      ...options.authenticatorSelection,
      residentKey: alone ? "required" : "discouraged",
      requireResidentKey: alone,
      userVerification: alone ? "required" : "preferred",
    };
    return PublicKeyCredential.parseCreationOptionsFromJSON(options);
  }

  async byButton() {
    this.waiting?.abort();
    this.problem.hidden = true;
    this.button.disabled = true;
    try {
      this.send(await this.ask({}));
    } catch {
      this.problem.hidden = false;
      this.button.disabled = false;
      this.problem.focus();
    }
  }

  // The browser offers passkeys among what it fills in (conditional mediation), until the button is pressed.
  async suggest() {
    if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    this.waiting = new AbortController();
    const renewal = setTimeout(() => {
      this.waiting.abort();
      this.suggest();
    }, 9 * 60 * 1000);
    try {
      this.send(await this.ask({ mediation: "conditional", signal: this.waiting.signal }));
    } catch {
      // Nobody chose one, or the button was pressed.
    }
    if (this.button.disabled) clearTimeout(renewal);
  }

  send({ credential, state }) {
    this.form.elements.credential.value = JSON.stringify(credential.toJSON());
    if (this.form.dataset.passkey === "sign-in") this.instead(state);
    this.form.submit();
  }

  // The sign-in form goes elsewhere then, with the way back and "keep me signed in", without what was typed.
  instead(state) {
    const { elements, dataset } = this.form;
    elements.state.value = state;
    elements.state.disabled = elements.credential.disabled = false;
    elements.username.disabled = elements.password.disabled = true;
    this.form.action = dataset.passkeyAction;
  }
}

for (const form of document.querySelectorAll("form[data-passkey]")) new PasskeyForm(form).start();
