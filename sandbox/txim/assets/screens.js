"use strict";
// The server renders every card, escaped; this only puts the cards of /txim/events where they belong.
const UTTERANCES_MAX = 5;
const link = document.querySelector("[data-link]");
const said = document.querySelector("#said");
const totals = document.querySelector("#totals");
const speak = document.querySelector("#speak");
const cards = new Map([...document.querySelectorAll(".card")].map((card) => [card.dataset.account, card]));
let speaking = false;
let utterances = 0;

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function remove(account) {
  cards.get(account)?.remove();
  cards.delete(account);
}

function place(card) {
  const grid = document.querySelector(`#${card.dataset.group} .grid`);
  const after = [...grid.children].find((other) => other.dataset.sort > card.dataset.sort);
  grid.insertBefore(card, after ?? null);
}

function show({ account, html }) {
  const old = cards.get(account);
  if (html === "") return remove(account);
  const card = parse(html);
  const focused = old?.contains(document.activeElement);
  card.classList.toggle("new", Number(card.dataset.newest) > Number(old?.dataset.newest ?? 0));
  if (old && old.dataset.group === card.dataset.group && old.dataset.sort === card.dataset.sort) {
    old.replaceWith(card);
  } else {
    old?.remove();
    place(card);
  }
  cards.set(account, card);
  if (focused) card.querySelector("a").focus();
  return undefined;
}

function say(text) {
  if (!speaking || utterances >= UTTERANCES_MAX) return;
  const utterance = new SpeechSynthesisUtterance(text);
  utterance.lang = /[\u4e00-\u9fff]/.test(text) ? "zh-CN" : "en";
  utterance.onend = utterance.onerror = () => { utterances -= 1; };
  utterances += 1;
  speechSynthesis.speak(utterance);
}

function receive({ data }) {
  const update = JSON.parse(data);
  if (update.all) {
    const kept = new Set(update.cards.map(({ account }) => account));
    [...cards.keys()].filter((account) => !kept.has(account)).forEach(remove);
  }
  update.cards.forEach(show);
  totals.textContent = update.totals;
  if (update.texts.length) said.textContent = update.texts.join("\n");
  update.spoken.forEach(say);
}

function setLink(state, text) {
  link.dataset.link = state;
  link.textContent = text;
}

const source = new EventSource(document.body.dataset.events);
source.onopen = () => setLink("live", "Live");
source.onerror = () => setLink("lost", "Reconnecting");
source.onmessage = receive;

if ("speechSynthesis" in window) {
  speak.hidden = false;
  speak.addEventListener("click", () => {
    speaking = !speaking;
    speak.setAttribute("aria-pressed", String(speaking));
    if (!speaking) {
      speechSynthesis.cancel();
      utterances = 0;
    }
  });
}
