"use strict";
(() => {
  const templates = {{ templates }};
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // A finger scrolls the page; a mouse draws the part to magnify.
  const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
  const config = {
    displaylogo: false,
    displayModeBar: matchMedia("(min-width: 40rem)").matches,
    // Named one by one: others would send the figure to another host.
    modeBarButtons: [["toImage"], ["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
    plotlyServerURL: "",
    responsive: true,
  };
  // Steps of a figure by its slider and buttons, and by keys, of which Plotly has none.
  const control = (plot) => {
    let playing = false;
    const run = ({ args }) => {
      playing = args[0] === null;
      // What is interrupted is rejected.
      Plotly.animate(plot, ...args).then(() => (playing = false), () => {});
    };
    plot.on("plotly_buttonclicked", ({ button }) => run(button));
    plot.on("plotly_sliderchange", ({ step, interaction }) => interaction && run(step));
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", "Steps: arrow keys move, the space bar plays and stops");
    plot.addEventListener("keydown", (event) => {
      const { sliders: [{ active, steps }], updatemenus: [{ buttons: [play, pause] }] } = plot.layout;
      const end = steps.length - 1;
      const to = { ArrowLeft: active - 1, ArrowRight: active + 1, Home: 0, End: end }[event.key];
      if (event.key === " ") run(playing ? pause : play);
      else if (to !== undefined) run(steps[Math.min(Math.max(to, 0), end)]);
      else return;
      event.preventDefault();
    });
  };
  // Points of a figure that are rows of a table: chosen and filtered together.
  const link = (plot) => {
    const region = document.getElementById(plot.dataset.table);
    const filter = region.previousElementSibling;
    const [input, output] = filter.querySelectorAll("input, output");
    const columns = [...region.querySelectorAll("th[data-column]")].map((head) => head.dataset.column);
    const rows = [...region.querySelectorAll("tbody tr")];
    const number = (text) => parseFloat(text.replaceAll(",", ""));
    const compare = { "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b, "=": (a, b) => a === b };
    const matches = (row, word) => {
      const [, name, sign, bound] = word.match(/^(\w+)(<=|>=|<|>|=)(.*)$/) ?? [];
      const found = columns.findIndex((column) => column === name);
      const column = found < 0 ? columns.findIndex((other) => other.startsWith(name)) : found;
      if (!name || column < 0) return row.textContent.toLowerCase().includes(word);
      if (!bound) return true; // still being typed
      const text = row.cells[column].textContent;
      return isNaN(number(bound)) ? sign === "=" && text.toLowerCase() === bound : compare[sign](number(text), number(bound));
    };
    let chosen = null;
    const update = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => matches(row, word));
      rows.forEach((row, k) => row.setAttribute("aria-current", k === chosen));
      const left = rows.filter((row) => !row.hidden).length;
      output.textContent = `${left} of ${rows.length}`;
      const last = plot.data.length - 1;
      const traces = plot.data.slice(0, last);
      const pick = (data, wanted) => (data ?? []).flatMap((row, k) => (row !== null && wanted(row) ? [k] : []));
      const selected = traces.map(({ customdata }) => (words.length ? pick(customdata, (row) => !rows[row].hidden) : null));
      const [mark] = traces.flatMap(({ customdata, x, y }) => pick(customdata, (row) => row === chosen).map((k) => [x[k], y[k]]));
      Plotly.restyle(plot, { selectedpoints: selected }, traces.map((_, k) => k));
      Plotly.restyle(plot, { x: [mark ? [mark[0]] : []], y: [mark ? [mark[1]] : []] }, [last]);
    };
    const choose = (row, scroll) => {
      if (!rows[row]) return;
      chosen = row;
      update();
      if (scroll) region.scrollTop = rows[row].offsetTop - region.clientHeight / 2;
    };
    filter.hidden = false;
    region.classList.add("linked");
    input.addEventListener("input", update);
    region.addEventListener("click", ({ target }) => choose(rows.indexOf(target.closest("tr"))));
    region.addEventListener("keydown", (event) => {
      const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      const left = rows.filter((row) => !row.hidden);
      if (!step || !left.length) return;
      const next = left.indexOf(rows[chosen]) + step;
      choose(rows.indexOf(left[Math.min(Math.max(next, 0), left.length - 1)]), true);
      event.preventDefault();
    });
    plot.on("plotly_click", ({ points: [point] }) => choose(point.customdata, true));
    return update;
  };
  const updates = new Map();
  const draw = () => {
    for (const source of document.querySelectorAll("script[data-figure]")) {
      const { data, frames, ...figure } = JSON.parse(source.textContent);
      const layout = { dragmode, ...figure.layout, template: templates[dark.matches ? "dark" : "light"] };
      const plot = document.getElementById(source.dataset.figure);
      const first = !plot.layout;
      layout.height ??= 450;
      // On a phone each entry of a legend may take a line of its own.
      if (layout.showlegend && plot.clientWidth < 560) layout.height += 20 * data.length;
      plot.style.height = `${layout.height}px`;
      if (frames) for (const part of [...layout.sliders[0].steps, ...layout.updatemenus[0].buttons]) part.execute = false;
      Plotly.react(plot, { data, layout, frames, config });
      if (frames && first) control(plot);
      if (plot.dataset.table && first) updates.set(plot, link(plot));
      updates.get(plot)?.();
    }
  };
  dark.addEventListener("change", draw);
  draw();
})();
