"use strict";
// The browser of all predictions and the picture view. Names of files and classes are
// strangers': they go in by textContent and never as markup.
(() => {
  const data = JSON.parse(document.getElementById("predictions").textContent);
  const isNarrow = window.matchMedia("(max-width: 40rem)").matches;
  const PAGE = isNarrow ? 24 : 60; // cards at once: drawn without a wait, passed with a thumb
  const WEBP = "data:image/webp;base64,";
  const find = (id) => document.getElementById(id);
  const rows = data.paths.map((_, i) => i);
  const folded = data.paths.map((path) => path.toLowerCase());

  const isRight = (i) => data.truth[i] === data.guess[i];
  const confidence = (i) => data.probs[i][data.guess[i]];
  const count = (n) => n.toLocaleString("en");
  // what is read from the right would move the figures beside it
  const WORD = "[\\p{L}\\p{N}_]*[\\p{sc=Hebr}\\p{sc=Arab}\\p{sc=Syrc}][\\p{L}\\p{M}\\p{N}_]*";
  const FROM_RIGHT = new RegExp(`(?<![\\p{L}\\p{N}_])${WORD}(?:[ -]+${WORD})*`, "gu");
  const isolated = (text) => text.replace(FROM_RIGHT, "\u2068$&\u2069");
  const make = (tag, name, text = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.textContent = isolated(text);
    return element;
  };
  const short = (text, longest) =>
    text.length <= longest ? text : `${text.slice(0, longest - 18)}…${text.slice(-16)}`;

  // ---- which rows, in which order -------------------------------------------------------
  const byPath = (a, b) => data.rank[a] - data.rank[b];
  const byKey = (key) => (a, b) => key(a) - key(b) || byPath(a, b);
  const ORDERS = {
    worst: byKey((i) => data.probs[i][data.truth[i]]),
    surest: byKey((i) => -confidence(i)),
    unsure: byKey(confidence),
    strangest: byKey((i) => -(data.outlier?.[i] ?? -Infinity)),
    path: byPath,
    truth: byKey((i) => data.truth[i]),
    guess: byKey((i) => data.guess[i]),
  };
  const said = (id) => find(id)?.value ?? "";
  const fits = (id, value) => said(id) === "" || Number(said(id)) === Number(value);
  let chosen = rows; // indices of rows, filtered and sorted
  let start = 0; // of the cards shown, in chosen

  function choose() {
    const words = said("by-path").toLowerCase();
    chosen = rows.filter(
      (i) =>
        fits("by-truth", data.truth[i]) &&
        fits("by-guess", data.guess[i]) &&
        fits("by-right", isRight(i)) &&
        fits("by-known", data.known?.[i]) &&
        fits("by-foreign", data.foreign?.[i]) &&
        fits("by-answered", data.answered?.[i]) &&
        folded[i].includes(words),
    );
    chosen.sort(ORDERS[said("by-order")]);
    start = 0;
    draw();
  }

  // ---- cards ----------------------------------------------------------------------------
  function picture(i) {
    const large = data.large[i]?.image ?? find(`slice-${i}`)?.src;
    const small = data.thumbs?.[i] ? WEBP + data.thumbs[i] : undefined;
    return { large, small: small ?? large };
  }

  function marks(i) {
    const list = [];
    if (data.known?.[i]) list.push("in training");
    if (data.foreign?.[i]) list.push("foreign");
    if (data.answered && !data.answered[i]) list.push("not sure");
    return list;
  }

  function verdict(i) {
    const sign = isRight(i) ? "✓" : "✗";
    return `${sign} ${short(data.classes[data.guess[i]], 40)}, ${data.sure[i]}`;
  }

  function card(i, place) {
    const button = make("button", `card ${isRight(i) ? "is-right" : "is-wrong"}`);
    button.type = "button";
    const frame = make("span", "frame");
    if (picture(i).small) {
      const image = make("img", "");
      image.alt = "";
      image.src = picture(i).small;
      frame.append(image);
    }
    const text = make("span", "words");
    text.append(make("span", "said", verdict(i)), " ");
    text.append(make("span", "", `true: ${short(data.classes[data.truth[i]], 40)}`), " ");
    for (const mark of marks(i)) text.append(make("span", "mark", mark), " ");
    text.append(make("span", "file", short(data.paths[i], 60)));
    button.append(frame, text);
    button.addEventListener("click", () => open(chosen, place, follow));
    const item = make("li", "");
    item.append(button);
    return item;
  }

  function draw() {
    const end = Math.min(start + PAGE, chosen.length);
    const cards = chosen.slice(start, end).map((i, k) => card(i, start + k));
    find("cards").replaceChildren(...cards);
    const of = `${count(chosen.length)} of ${count(rows.length)} images`;
    const shown = `${of}, ${count(start + 1)} to ${count(end)} shown`;
    find("found").textContent = chosen.length ? shown : of;
    find("earlier").disabled = start === 0;
    find("later").disabled = end === chosen.length;
  }

  function turn(pages) {
    start += pages * PAGE;
    draw();
    find("pictures").scrollIntoView();
  }

  function follow(place) {
    start = Math.floor(place / PAGE) * PAGE;
    draw();
    find("cards").children[place - start]?.firstChild.focus();
  }

  // ---- one picture ----------------------------------------------------------------------
  const viewer = find("viewer");
  let list = []; // indices of rows that the arrows go through
  let place = 0;
  let back = () => {}; // where the focus goes afterwards

  function open(indices, at, afterwards) {
    [list, place, back] = [indices, at, afterwards];
    show();
    viewer.showModal();
  }

  function show() {
    const i = list[place];
    const { large, small } = picture(i);
    const heat = data.large[i]?.heat;
    find("viewer-title").textContent = `Image ${count(place + 1)} of ${count(list.length)}`;
    find("viewer-said").textContent = isolated(verdict(i));
    find("viewer-said").className = `said ${isRight(i) ? "is-right" : "is-wrong"}`;
    find("viewer-slice").hidden = !(large ?? small);
    if (large ?? small) find("viewer-slice").src = large ?? small;
    find("viewer-slice").alt = `Slice ${i}, ${data.classes[data.truth[i]]}`;
    const note = small ? "Enlarged from a thumbnail." : "This page holds no picture of it.";
    find("viewer-note").textContent = large ? "" : note;
    find("viewer-heat").hidden = !heat;
    if (heat) find("viewer-heat").src = heat;
    find("viewer-heat-tools").hidden = !heat;
    find("viewer-probs").replaceChildren(...data.classes.map((_, k) => bar(i, k)));
    const said = ([name, value]) => [make("dt", "", name), make("dd", "", value)];
    const pairs = facts(i).flatMap(said);
    find("viewer-facts").replaceChildren(...pairs);
    find("viewer-earlier").disabled = place === 0;
    find("viewer-later").disabled = place === list.length - 1;
    blend();
  }

  function bar(i, k) {
    const item = make("li", k === data.guess[i] ? "top" : "");
    const name = make("span", "name", short(data.classes[k], 60));
    if (k === data.truth[i]) name.append(" ", make("span", "mark", "true"));
    if (data.sets?.[i].includes(k)) name.append(" ", make("span", "mark", "in the set"));
    const track = make("span", "track");
    track.append(make("span", "fill"));
    track.firstChild.style.width = `${data.probs[i][k] / 100}%`;
    item.append(name, make("span", "number", (data.probs[i][k] / 1e4).toFixed(4)), track);
    return item;
  }

  function facts(i) {
    const list = [["True class", data.classes[data.truth[i]]]];
    if (data.tumor) list.push(["Called", data.tumor[i] ? "tumor" : "no tumor"]);
    if (data.answered) {
      list.push(["Sure enough", data.answered[i] ? "yes" : "no: let a person read it"]);
    }
    if (data.sets) {
      const names = data.sets[i].map((k) => data.classes[k]).join(", ");
      list.push(["Prediction set", names || "empty: no class is likely enough"]);
    }
    if (data.foreign) {
      const score = `outlier score ${data.outlier?.[i] ?? "–"}`;
      list.push(["Looks foreign", `${data.foreign[i] ? "yes" : "no"} (${score})`]);
    }
    if (data.turned?.[i]) list.push(["Orientation", "looks upside down"]);
    const known = data.known?.[i] ? "yes, or a copy of it" : "no";
    if (data.known) list.push(["Known from training", known]);
    return [...list, ["File", data.paths[i]], ["Row", `${i + 1} in predictions.csv`]];
  }

  function blend() {
    const isOn = find("heat-on").checked;
    find("viewer-heat").style.opacity = isOn ? find("heat-strength").value / 100 : 0;
    find("heat-strength").disabled = !isOn;
  }

  function step(by) {
    if (list[place + by] === undefined) return;
    place += by;
    show();
    // a button that has just been disabled would let the focus fall out of the view
    if (document.activeElement === document.body) find("viewer-close").focus();
  }

  viewer.addEventListener("close", () => back(place));
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by || event.target.type === "range") return; // there the arrows move the slider
    event.preventDefault();
    step(by);
  });
  find("viewer-close").addEventListener("click", () => viewer.close());
  find("viewer-earlier").addEventListener("click", () => step(-1));
  find("viewer-later").addEventListener("click", () => step(1));
  find("heat-on").addEventListener("change", blend);
  find("heat-strength").addEventListener("input", blend);

  // ---- the rest of the page leads here --------------------------------------------------
  const controls = [...find("filters").querySelectorAll("select, input")];
  const reset = () => {
    for (const control of controls) control.value = control.options?.[0].value ?? "";
  };
  for (const control of controls) control.addEventListener("input", choose);
  find("reset").addEventListener("click", () => {
    reset();
    choose();
  });
  find("earlier").addEventListener("click", () => turn(-1));
  find("later").addEventListener("click", () => turn(1));

  for (const cell of document.querySelectorAll("td[data-truth]")) {
    const button = make("button", "cell");
    button.type = "button";
    button.append(...cell.childNodes);
    button.append(make("span", "unseen", " show them"));
    button.addEventListener("click", () => {
      reset();
      find("by-truth").value = cell.dataset.truth;
      find("by-guess").value = cell.dataset.guess;
      choose();
      find("pictures").scrollIntoView();
      find("pictures-h").focus({ preventScroll: true });
    });
    cell.append(button);
  }
  for (const gallery of document.querySelectorAll("ul.gallery")) {
    const figures = [...gallery.querySelectorAll("figure[data-index]")];
    figures.forEach((figure, at) => {
      const button = make("button", "larger", "Look closer");
      button.type = "button";
      const indices = figures.map((other) => Number(other.dataset.index));
      const focus = (now) => figures[now].querySelector("button").focus();
      button.addEventListener("click", () => open(indices, at, focus));
      figure.querySelector("figcaption").append(button);
    });
  }
  // ---- folded parts ----------------------------------------------------------------------
  // a link into a folded part unfolds it
  const unfold = () => {
    const part = location.hash.length > 1 && find(location.hash.slice(1));
    if (part) for (const fold of part.querySelectorAll(":scope > .fold")) fold.open = true;
  };
  window.addEventListener("hashchange", unfold);
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", () => setTimeout(unfold)); // also a second time
  }
  unfold();
  let shut = []; // parts to fold again after printing
  window.addEventListener("beforeprint", () => {
    shut = [...document.querySelectorAll("details:not([open])")];
    for (const part of shut) part.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const part of shut) part.open = false;
  });

  for (const element of document.querySelectorAll("[data-scripted]")) element.hidden = false;
  choose();
})();
