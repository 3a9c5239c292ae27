'use strict';
(() => {
  const box = document.getElementById('search');
  if (!box) return;
  const field = document.getElementById('words');
  const count = document.getElementById('count');
  const rows = Array.from(document.querySelector('#paths tbody').rows);
  const texts = rows.map(row => `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase());
  const all = count.textContent;
  const grouped = number => number.toLocaleString('en');
  let due = 0;
  const filter = () => {
    due = 0;
    const words = field.value.toLowerCase().split(/\s+/).filter(word => word);
    let found = 0;
    rows.forEach((row, index) => {
      const hit = words.every(word => texts[index].includes(word));
      if (row.hidden === hit) row.hidden = !hit;
      if (hit) found += 1;
    });
    count.textContent = words.length ? `${grouped(found)} of ${all}` : all;
  };
  field.addEventListener('input', () => { if (!due) due = setTimeout(filter, 60); });
  document.addEventListener('keydown', event => {
    if (event.key === '/' && document.activeElement !== field && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    } else if (event.key === 'Escape' && document.activeElement === field) {
      field.value = '';
      filter();
    }
  });
  box.hidden = false;
})();
