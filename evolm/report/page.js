"use strict";
(() => {
  const form = document.getElementById("item-filters");
  if (!form) return;
  const status = document.getElementById("item-count");
  const rows = [...document.querySelectorAll("#items tbody tr")];
  const value = (name) => (form.elements[name] ? form.elements[name].value : "");
  const show = () => {
    const kind = value("kind"), label = value("label"), text = value("text").toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = row.dataset.k.includes(kind) && (!label || row.dataset.g === label)
        && (!text || row.textContent.toLowerCase().includes(text));
      row.hidden = !fits;
      shown += fits;
    }
    status.textContent = `${shown} of ${rows.length} items`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show();
})();
