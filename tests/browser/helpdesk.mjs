// One task of a clerk at the help desk, in Debian's Chromium: `node helpdesk.mjs STEP`. tests/tests/browser.rs runs the
// steps and checks their effect on the mail. JavaScript is off, except where axe checks the accessibility of a page.
//
// Environment: BASE (URL), NAME and PASSWORD (a clerk's), STRANGER and STRANGER_PASSWORD (a person without a role),
// ADMIN and ADMIN_PASSWORD (an administrator's), PERSON (the name of the person to find), ALIAS (an address to add and
// remove), TAKEN (another person's address), AWAY (an address elsewhere), SHOTS (a folder for screenshots; without it none
// are made). A step prints one line of JSON on success.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const { BASE, NAME, PASSWORD, STRANGER, STRANGER_PASSWORD, ADMIN, ADMIN_PASSWORD, PERSON, AWAY, SHOTS } = process.env;
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const NARROW = { width: 320, height: 640 };
/** Longest wait for a page, milliseconds. */
const PAGE_LIMIT = 15_000;
const SEVERE = ["serious", "critical"];

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ARGUMENTS });

/** A page in a new browser session. It is in French, the default, because no browser asks for the language xx. */
async function open(options = {}) {
  const context = await browser.newContext({ javaScriptEnabled: false, locale: "xx", ...options });
  context.setDefaultTimeout(PAGE_LIMIT);
  return context.newPage();
}

async function signIn(page, name = NAME, password = PASSWORD) {
  await page.goto(`${BASE}/sign-in`);
  await page.fill("#name", name);
  await page.fill("#password", password);
  await page.click("main button");
}

/** Searches for a person, and opens the page of the one with exactly this name. */
async function find(page, name = PERSON) {
  await page.goto(`${BASE}/`);
  await page.fill("#q", name);
  await page.click("main button");
  await page.getByRole("link", { name, exact: true }).click();
  await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
}

/** Waits until the texts are on the page: pressing a key does not wait for the page that loads. */
async function shows(page, texts) {
  for (const one of [texts].flat()) {
    const until = Date.now() + PAGE_LIMIT;
    for (let text = ""; !text.includes(one); ) {
      assert.ok(Date.now() < until, `"${one}" is not on the page:\n${text}`);
      text = await page.innerText("body");
    }
  }
}

/** Checks that axe finds nothing severe, and that a window of 320 px does not scroll sideways (WCAG 2.1, 1.4.10). */
async function inspect(page, name) {
  await page.setViewportSize({ width: 1280, height: 900 });
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png`, fullPage: true });
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const severe = violations.filter((one) => SEVERE.includes(one.impact));
  assert.deepEqual(severe.map((one) => [one.id, one.nodes.map((node) => node.html)]), [], name);
  await page.setViewportSize(NARROW);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-narrow.png`, fullPage: true });
  assert.ok(width <= NARROW.width, `${name} is ${width} px wide in a window of ${NARROW.width}`);
}

const axeSource = createRequire(import.meta.url)("axe-core").source;

const STEPS = {
  /** A wrong password is refused, in French. */
  async refused() {
    const page = await open();
    await signIn(page, NAME, "not the password");
    await shows(page, ["Il y a un problème", "Le nom d’utilisateur ou le mot de passe est incorrect."]);
    assert.match(await page.title(), /^Erreur/);
    await page.goto(`${BASE}/people?q=a`);
    assert.match(page.url(), /\/sign-in\?next=/);
  },

  /** Finds a person by name, reads the addresses, sets a vacation in French. */
  async vacation() {
    const page = await open();
    await signIn(page);
    await shows(page, ["Recherche de personnes", `Connecté : ${NAME}`]);
    assert.equal(await page.getAttribute("html", "lang"), "fr");
    await find(page);
    const addresses = await page.locator("section[aria-labelledby=addresses-heading] tbody th").allInnerTexts();
    await page.click("#vacation summary");
    await page.fill("#start", "2026-01-01");
    await page.fill("#end", "2025-12-31");
    await page.fill("#text_fr", "Je suis absente jusqu’à la rentrée.\nÉcrivez à Noëlle.");
    await page.click("form[action$='/vacation'] button");
    await shows(page, ["Il y a un problème", "Dernier jour : Le dernier jour précède le premier."]);
    await page.fill("#end", "2099-12-31");
    await page.fill("#subject_fr", "Absence prolongée");
    await page.click("form[action$='/vacation'] button");
    await shows(page, [
      "Fait. La réponse d’absence a été définie.",
      "Activée, jusqu’au 31 décembre 2099 inclus",
      "Écrivez à Noëlle.",
    ]);
    return { addresses };
  },

  /** Clears the vacation. */
  async clear() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.click("form[action$='/vacation/clear'] button");
    await shows(page, "La réponse d’absence a été supprimée.");
  },

  /** Aliases that are refused, and one that is added. */
  async alias() {
    const page = await open();
    await signIn(page);
    await find(page);
    const tries = [
      ["zoe", "Une adresse s’écrit nom@domaine"],
      ["zoe@example.com", "Le domaine de cette adresse n’est pas servi ici."],
      [process.env.TAKEN, "appartient déjà à une personne"],
    ];
    for (const [address, text] of tries) {
      await page.fill("#address", address);
      await page.click("form[action$='/addresses'] button");
      await shows(page, text);
    }
    await page.fill("#address", process.env.ALIAS);
    await page.click("form[action$='/addresses'] button");
    await shows(page, `Fait. ${process.env.ALIAS} a été ajoutée.`);
  },

  /** Removes the alias. */
  async unalias() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.getByRole("link", { name: `Retirer… ${process.env.ALIAS}` }).click();
    await shows(page, "Le courrier envoyé à cette adresse sera refusé");
    await page.click("main button");
    await shows(page, `Fait. ${process.env.ALIAS} a été retirée.`);
  },

  /** Refuses a lock without a reason, and suspends the person by one that has a reason and an end. */
  async suspend() {
    const page = await open();
    await signIn(page);
    await find(page);
    await shows(page, "Aucun verrou.");
    await page.click("#locks summary");
    await page.getByLabel("Nom du verrou").fill("abuse");
    await page.getByRole("button", { name: "Suspendre par ce verrou" }).click();
    await shows(page, "Motif : Entrez un motif de 1 à 200 caractères.");
    await page.getByLabel("Motif").fill("pourriel, billet 812");
    await page.getByLabel("Dernier jour du verrou").fill("2099-12-31");
    await page.getByRole("button", { name: "Suspendre par ce verrou" }).click();
    await shows(page, [
      "Fait. Le verrou abuse a été posé.",
      "Verrous en vigueur",
      "pourriel, billet 812",
      "31 décembre 2099 à 23",
    ]);
  },

  /** Releases the lock. */
  async release() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.getByRole("button", { name: "Lever abuse" }).click();
    await shows(page, ["Fait. Le verrou abuse a été levé.", "Aucun verrou."]);
  },

  /** Forwards the person's mail without a copy, after a circle is refused. */
  async forward() {
    const page = await open();
    await signIn(page);
    await find(page);
    const addresses = await page.locator("section[aria-labelledby=addresses-heading] tbody th").allInnerTexts();
    await page.click("#forwarding summary");
    assert.ok(await page.isChecked("#keep_copy"), "a copy must be kept unless the clerk says otherwise");
    await page.fill("#forward_to", addresses[0]);
    await page.getByRole("button", { name: "Enregistrer le réacheminement" }).click();
    await shows(page, "le courrier tournerait en rond");
    await page.fill("#forward_to", AWAY);
    await page.fill("#forward_end", "2099-12-31");
    await page.uncheck("#keep_copy");
    await page.getByRole("button", { name: "Enregistrer le réacheminement" }).click();
    await shows(page, [
      "Fait. Le réacheminement a été défini.",
      "Activé, jusqu’au 31 décembre 2099 inclus",
      "La boîte aux lettres ne reçoit pas de copie.",
      AWAY,
      "Valeurs définies à la main",
    ]);
  },

  /** Gives the forwarding back to the feed, then clears it after a question. */
  async unforward() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.getByRole("button", { name: "Suivre à nouveau la source Réacheminement" }).click();
    await shows(page, "Réacheminement : les fichiers et les politiques décident à nouveau.");
    await page.getByRole("link", { name: "Supprimer le réacheminement…" }).click();
    await shows(page, AWAY);
    await page.getByRole("link", { name: "Annuler" }).click();
    await shows(page, AWAY);
    await page.getByRole("link", { name: "Supprimer le réacheminement…" }).click();
    await page.getByRole("button", { name: "Supprimer le réacheminement" }).click();
    await shows(page, "Fait. Le réacheminement a été supprimé.");
  },

  /** Gives the person a quota class, and takes it away. */
  async quota() {
    const page = await open();
    await signIn(page, ADMIN, ADMIN_PASSWORD);
    await find(page);
    await page.click("#quota summary");
    await page.getByRole("button", { name: "Enregistrer la classe de quota" }).click();
    await shows(page, "Classe de quota : Choisissez une classe.");
    await page.selectOption("#quota_class", "research");
    await page.getByRole("button", { name: "Enregistrer la classe de quota" }).click();
    await shows(page, ["Fait. La classe de quota a été définie.", "Classe research (5,0 Mo).", "sur 5,0 Mo"]);
    await page.getByRole("button", { name: "Supprimer le quota propre" }).click();
    await shows(page, ["Fait. Le quota propre de la personne a été supprimé.", "Selon l’affiliation."]);
  },

  /** The visitor forwards their own mail, on the page to which the head of each page leads. */
  async own() {
    const page = await open();
    await signIn(page);
    await page.getByRole("link", { name: "Ma fiche" }).click();
    await page.click("#forwarding summary");
    await page.fill("#forward_to", AWAY);
    await page.getByRole("button", { name: "Enregistrer le réacheminement" }).click();
    await shows(page, ["Fait. Le réacheminement a été défini.", "La boîte aux lettres reçoit une copie."]);
    await page.getByRole("link", { name: "Supprimer le réacheminement…" }).click();
    await page.getByRole("button", { name: "Supprimer le réacheminement" }).click();
    await shows(page, "Fait. Le réacheminement a été supprimé.");
  },

  /** A person without a role sets vacation and forwarding on their own page, and can open no other one. */
  async stranger() {
    const page = await open();
    await signIn(page, STRANGER, STRANGER_PASSWORD);
    await shows(page, ["Ma fiche", `Connecté : ${STRANGER}`, "Changer votre mot de passe"]);
    assert.equal(await page.locator("[role=search], #locks, #quota, #history-heading").count(), 0);
    const own = page.url();
    await page.click("#vacation summary");
    await page.fill("#text_fr", "De retour lundi.");
    await page.getByRole("button", { name: "Enregistrer la réponse d’absence" }).click();
    await shows(page, ["Fait. La réponse d’absence a été définie.", "De retour lundi."]);
    await page.getByRole("button", { name: "Supprimer la réponse d’absence" }).click();
    await shows(page, "Fait. La réponse d’absence a été supprimée.");
    await page.click("#forwarding summary");
    await page.fill("#forward_to", AWAY);
    await page.getByRole("button", { name: "Enregistrer le réacheminement" }).click();
    await shows(page, ["Fait. Le réacheminement a été défini.", "La boîte aux lettres reçoit une copie."]);
    await page.getByRole("link", { name: "Supprimer le réacheminement…" }).click();
    await page.getByRole("button", { name: "Supprimer le réacheminement" }).click();
    await shows(page, "Fait. Le réacheminement a été supprimé.");
    for (const path of ["/people?q=a", "/people/helpdesk"]) {
      assert.equal((await page.goto(`${BASE}${path}`)).status(), 403, path);
      await shows(page, "Vous ne pouvez consulter et modifier que votre propre fiche.");
    }
    await page.locator("main").getByRole("link", { name: "Ma fiche" }).click();
    await page.waitForURL(own);
    await page.getByRole("link", { name: "Changer votre mot de passe" }).click();
    assert.equal(await page.inputValue("#name"), STRANGER);
  },

  /** Sets a new password, which is shown once. */
  async password() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.getByRole("link", { name: "Réinitialiser le mot de passe" }).click();
    await page.getByRole("button", { name: "Définir un nouveau mot de passe" }).click();
    const password = await page.innerText("#new-password");
    await page.reload();
    await shows(page, "Ce mot de passe a déjà été affiché");
    return { password };
  },

  /** A chosen language stays; after the sign-out the button Back shows no page again. */
  async languages() {
    const page = await open();
    await signIn(page);
    await find(page);
    await page.getByRole("link", { name: "English" }).click();
    assert.equal(await page.textContent("h1"), PERSON);
    await shows(page, ["Addresses", "Add an alias", "Primary", "today at"]);
    assert.equal(await page.getAttribute("html", "lang"), "en");
    await page.goto(`${BASE}/people?q=nobody-at-all`);
    await shows(page, "No person found for “nobody-at-all”");
    await page.getByRole("button", { name: "Sign out" }).click();
    await shows(page, "and for staff of the help desk.");
    await page.goBack();
    assert.match(page.url(), /\/sign-in/);
    const asked = await open({ locale: "en-CA" });
    await asked.goto(BASE);
    await shows(asked, "Sign in");
  },

  /** Signs in and searches with only the keyboard. */
  async keyboard() {
    const page = await open();
    await page.goto(`${BASE}/sign-in`);
    await page.locator("#name:focus").waitFor(); // The first field gets the focus a moment after the page is loaded.
    await page.keyboard.type(NAME);
    await page.keyboard.press("Tab");
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await shows(page, "Recherche de personnes");
    await page.locator("#q:focus").waitFor();
    await page.keyboard.type(PERSON);
    await page.keyboard.press("Enter");
    await shows(page, `Une personne trouvée pour « ${PERSON} »`);
    await page.keyboard.press("Tab"); // On a new page the skip link comes first.
    await page.keyboard.press("Enter");
    for (let tabs = 0; (await page.locator("tbody a:focus").count()) === 0; tabs += 1) {
      assert.ok(tabs < 6, "the person's link is not reached in six steps from the skip link");
      await page.keyboard.press("Tab");
    }
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/people\/[^?]/);
    assert.equal(await page.textContent("h1"), PERSON);
  },

  /** Every page in both languages, in a window in which axe can run. */
  async accessibility() {
    for (const lang of ["fr", "en"]) {
      const page = await open({ javaScriptEnabled: true, bypassCSP: true });
      await page.goto(`${BASE}/sign-in?lang=${lang}`);
      await inspect(page, `sign-in-${lang}`);
      await signIn(page, NAME, "wrong");
      await inspect(page, `sign-in-wrong-${lang}`);
      await signIn(page, ADMIN, ADMIN_PASSWORD); // The page of an administrator has every form.
      await inspect(page, `search-${lang}`);
      await page.goto(`${BASE}/people?q=nobody-at-all`);
      await inspect(page, `nobody-${lang}`);
      await page.goto(`${BASE}/people?q=a`);
      await inspect(page, `results-${lang}`);
      await find(page);
      const person = page.url();
      await inspect(page, `person-${lang}`);
      await page.click("#vacation summary");
      await inspect(page, `vacation-${lang}`);
      await page.fill("#text_fr", "");
      await page.fill("#text_en", "");
      await page.click("form[action$='/vacation'] button");
      await inspect(page, `vacation-wrong-${lang}`);
      for (const part of ["locks", "forwarding", "quota"]) {
        await page.goto(person);
        await page.click(`#${part} summary`);
        await inspect(page, `${part}-${lang}`);
        if (part === "forwarding") await page.fill("#forward_to", "");
        await page.click(`#${part} form[action$='/${part}'] button`);
        await shows(page, { fr: "Il y a un problème", en: "There is a problem" }[lang]);
        await inspect(page, `${part}-wrong-${lang}`);
      }
      await page.goto(person);
      await page.click("#locks summary");
      await page.fill("#lock", `axe-${lang}`);
      await page.fill("#lock_reason", "a reason of several words");
      await page.click("#locks form[action$='/locks'] button");
      await shows(page, "a reason of several words");
      await inspect(page, `locked-${lang}`);
      await page.click("form[action$='/locks/release'] button");
      await page.goto(`${person}/forwarding/clear`);
      await inspect(page, `forwarding-clear-${lang}`);
      await page.goto(person);
      await page.fill("#address", "wrong");
      await page.click("form[action$='/addresses'] button");
      await inspect(page, `alias-wrong-${lang}`);
      await page.goto(person);
      await page.getByRole("link", { name: process.env.ALIAS }).click();
      await inspect(page, `alias-remove-${lang}`);
      await page.goto(`${person}/password`);
      await inspect(page, `password-${lang}`);
      await page.click("main button");
      await inspect(page, `password-new-${lang}`);
      await page.goto(`${BASE}/no/such/page`);
      await inspect(page, `not-found-${lang}`);
      await page.context().clearCookies({ name: "provost_session" });
      await signIn(page, STRANGER, STRANGER_PASSWORD);
      await inspect(page, `own-${lang}`);
      await page.click("#vacation summary");
      await page.click("#forwarding summary");
      await inspect(page, `own-forms-${lang}`);
      await page.click("form[action$='/vacation'] button");
      await shows(page, { fr: "Il y a un problème", en: "There is a problem" }[lang]);
      await inspect(page, `own-wrong-${lang}`);
      await page.goto(`${BASE}/people/helpdesk`);
      await inspect(page, `own-forbidden-${lang}`);
    }
  },
};

try {
  const result = await STEPS[process.argv[2]]();
  console.log(JSON.stringify(result ?? {}));
} finally {
  await browser.close();
}
