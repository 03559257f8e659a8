"use strict";
(() => {
  const form = document.getElementById("filter");
  const articles = Array.from(document.querySelectorAll("article"));
  if (articles.length < 2) return;
  const words = document.getElementById("words");
  const shown = document.getElementById("shown");
  const boxes = Array.from(form.querySelectorAll("input[name=fate]"));
  const texts = articles.map((article) => article.textContent.toLowerCase());
  const apply = () => {
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const asked = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let number = 0;
    articles.forEach((article, at) => {
      const fits = wanted.has(article.dataset.fate) && asked.every((word) => texts[at].includes(word));
      article.hidden = !fits;
      number += fits ? 1 : 0;
    });
    shown.textContent = number + " of " + articles.length;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
