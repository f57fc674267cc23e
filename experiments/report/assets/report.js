(() => {
  "use strict";
  const COLOURS = 8, BANDS = 4;
  const HEIGHT = 250, NARROW = 480;
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const number = (value) => {
    if (typeof value !== "number") return value === null ? "-" : String(value);
    return String(+value.toPrecision(5));
  };
  const colour = (index) => `var(--series-${index % COLOURS})`;
  const bandColours = (plot) => new Map([...new Set(plot.bands.map((band) => band.label))]
    .sort().map((label, index) => [label, `var(--band-${index % BANDS})`]));
  const shorten = (label, most = 30) => label.length > most ? label.slice(0, most - 1) + "…" : label;

  // Index of the last place at or before x, -1 where there is none.
  const seek = (places, x) => d3.bisectRight(places, x) - 1;

  function listRows(plot, shown) {
    // One row per place, with the value of every series there or last before it.
    const isOrdered = plot.x.scale !== "category";
    const series = plot.series.filter((_, index) => shown[index] && plot.series[index].style !== "dots");
    if (!series.length) return [];
    const places = [...new Set(series.flatMap((one) => one.x))];
    if (isOrdered) places.sort(d3.ascending);
    return places.map((x) => {
      const values = series.map((one) => {
        const at = isOrdered ? seek(one.x, x) : one.x.indexOf(x);
        const isPast = isOrdered && at === one.x.length - 1 && one.x[at] < x;
        return [one.name, at < 0 || isPast ? null : one.y[at]];
      }).filter(([, y]) => y !== null);
      if (!values.length) return null;
      const lines = values.map(([name, y]) => `${shorten(name)}  ${number(y)}`);
      const band = plot.bands.find((one) => one.start <= x && x <= one.end);
      if (band) lines.push(band.label);
      return { x, y: values[0][1], title: [`${plot.x.label}  ${number(x)}`, ...lines].join("\n") };
    }).filter(Boolean);
  }

  function listDots(plot, shown) {
    return plot.series.flatMap((one, index) => !shown[index] || (one.style !== "dots" && !one.hover.length) ? [] :
      one.x.map((x, at) => ({
        x, y: one.y[at], stroke: colour(index), isDrawn: one.style === "dots",
        title: one.hover.length ? one.hover[at] : `${one.name}\n${plot.x.label}  ${number(x)}\n${plot.y.label}  ${number(one.y[at])}`,
      })).filter((dot) => dot.y !== null && dot.x !== null));
  }

  function markSeries(plot, shown) {
    const bands = bandColours(plot);
    const marks = [...bands].map(([label, fill]) => Plot.rect(
      plot.bands.filter((band) => band.label === label),
      { x1: "start", x2: "end", fill, fillOpacity: 0.18 }));
    marks.push(Plot.gridY({ strokeOpacity: 0.12 }));
    for (const rule of plot.rules) {
      marks.push(Plot.ruleY([rule.y], { stroke: "var(--no)", strokeDasharray: "5,3" }));
    }
    const rows = listRows(plot, shown), dots = listDots(plot, shown);
    const r = dots.length > 300 ? 2.5 : 4.5;
    if (dots.length) marks.push(Plot.dot(dots.filter((dot) => dot.isDrawn), { x: "x", y: "y", stroke: "stroke", fill: "stroke", fillOpacity: 0.45, strokeOpacity: dots.length > 300 ? 0.5 : 1, r }));
    plot.series.forEach((one, index) => {
      if (!shown[index] || one.style === "dots") return;
      const points = one.x.map((x, at) => ({ x, y: one.y[at] === null ? NaN : one.y[at] }));
      marks.push(Plot.line(points, {
        x: "x", y: "y", stroke: colour(index), strokeWidth: 1.5,
        curve: one.style === "step" ? "step-before" : "linear",
      }));
      if (points.length <= 40) marks.push(Plot.dot(points, { x: "x", y: "y", fill: colour(index), r: 3 }));
    });
    if (dots.length) {
      marks.push(Plot.dot(dots, Plot.pointer({ x: "x", y: "y", stroke: "var(--ink)", r: 7, strokeWidth: 2 })));
      marks.push(Plot.tip(dots, Plot.pointer({ x: "x", y: "y", title: "title", stroke: "var(--line)", lineWidth: 26 })));
    } else if (rows.length) {
      marks.push(Plot.ruleX(rows, Plot.pointerX({ x: "x", stroke: "var(--faint)" })));
      marks.push(Plot.tip(rows, Plot.pointerX({ x: "x", y: "y", title: "title", stroke: "var(--line)", lineWidth: 26 })));
    }
    return { marks, targets: dots.length ? dots : rows };
  }

  function drawSeries(plot, shown, width) {
    const { marks, targets } = markSeries(plot, shown);
    const isCategory = plot.x.scale === "category", hasDots = plot.series.some((one) => one.style === "dots" || one.hover.length);
    const svg = Plot.plot({
      width, height: HEIGHT, marginLeft: 52, marginRight: 12, marginBottom: 38, marginTop: 24,
      style: { background: "none", color: "var(--ink)", fontSize: "12px" },
      x: { label: plot.x.label, type: isCategory ? "point" : plot.x.scale, inset: hasDots && !isCategory ? 10 : 0, ...(isCategory ? {} : { nice: plot.x.scale === "log", ticks: width < NARROW ? 5 : plot.x.scale === "log" ? 6 : 8, tickFormat: plot.x.scale === "log" ? "," : undefined }) },
      y: { label: plot.y.label, type: plot.y.scale, inset: plot.rules.length ? 6 : 0, ticks: plot.y.scale === "log" ? 4 : 6, tickFormat: plot.y.scale === "log" ? "," : undefined, nice: true },
      color: { type: "identity" },
      marks: [...marks, Plot.frame({ stroke: "var(--line)" })],
    });
    return { svg, targets };
  }

  // Colours tell values apart, not their last digits: at least 2% are one span.
  function findDomain(values) {
    const [low, high] = d3.extent(values);
    const least = 0.02 * Math.max(Math.abs(low), Math.abs(high)) || 1;
    const spare = Math.max(0, least - (high - low)) / 2;
    return [low - spare, high + spare];
  }

  const listKnown = (plot) => plot.values.flat().filter((value) => value !== null);
  const pickTicks = (values, most) => values.filter((_, index) => index % Math.ceil(values.length / most) === 0);

  function drawHeat(plot, width) {
    const cells = plot.values.flatMap((row, j) => row.map((value, i) => ({ x: plot.x_values[i], y: plot.y_values[j], value })))
      .filter((cell) => cell.value !== null);
    for (const cell of cells) {
      cell.title = `${plot.value_label}  ${number(cell.value)}\n${plot.x.label}  ${number(cell.x)}\n${plot.y.label}  ${number(cell.y)}`;
    }
    const domain = findDomain(listKnown(plot));
    const scale = d3.scaleSequential(domain, d3.interpolateViridis);
    const ink = (value) => d3.lab(scale(value)).l > 58 ? "#111" : "#fff";
    const isWide = (width - 80) / plot.x_values.length > 38;
    const marks = [Plot.cell(cells, { x: "x", y: "y", fill: "value", inset: cells.length > 400 ? 0 : 0.5 })];
    if (isWide) marks.push(Plot.text(cells, { x: "x", y: "y", text: (cell) => String(+cell.value.toPrecision(3)), fill: (cell) => ink(cell.value) }));
    marks.push(Plot.tip(cells, Plot.pointer({ x: "x", y: "y", title: "title", stroke: "var(--line)", lineWidth: 26 })));
    const figure = Plot.plot({
      width, height: Math.min(480, Math.max(160, 70 + 36 * plot.y_values.length)),
      padding: 0, marginLeft: Math.min(120, 24 + 7.5 * d3.max(plot.y_values, (value) => number(value).length)), marginBottom: 40, marginTop: 24, marginRight: 12,
      style: { background: "none", color: "var(--ink)", fontSize: "12px" },
      x: { label: plot.x.label, domain: plot.x_values, ticks: pickTicks(plot.x_values, Math.max(3, Math.floor(width / 60))), type: "band", tickFormat: number },
      y: { label: plot.y.label, labelAnchor: "top", labelArrow: "none", domain: [...plot.y_values].reverse(), ticks: pickTicks(plot.y_values, 16), type: "band", tickFormat: number },
      color: { type: "linear", domain, interpolate: d3.interpolateViridis },
      marks,
    });
    return { svg: figure, targets: cells };
  }

  function buildLegend(holder, plot, shown, redraw) {
    const addChip = (kind, fill, label) => {
      const chip = document.createElement("span"), mark = document.createElement("i");
      mark.className = kind;
      mark.style.setProperty("--mark", fill);
      chip.append(mark, label);
      holder.append(chip);
    };
    if (plot.kind === "heat") {
      const [low, high] = findDomain(listKnown(plot)), ramp = document.createElement("i");
      const stops = d3.range(0, 1.01, 0.1).map(d3.interpolateViridis).join(", ");
      ramp.className = "ramp";
      ramp.style.background = `linear-gradient(90deg, ${stops})`;
      const span = document.createElement("span");
      span.append(`${plot.value_label}  ${String(+low.toPrecision(3))}`, ramp, String(+high.toPrecision(3)));
      holder.append(span);
      return;
    }
    plot.series.forEach((one, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      const mark = document.createElement("i");
      mark.className = one.style;
      mark.style.setProperty("--mark", colour(index));
      button.append(mark, one.name);
      button.addEventListener("click", () => {
        shown[index] = !shown[index];
        button.setAttribute("aria-pressed", String(shown[index]));
        redraw();
      });
      holder.append(button);
    });
    for (const rule of plot.rules) addChip("rule", "var(--no)", rule.label);
    for (const [label, fill] of bandColours(plot)) addChip("band", fill, label);
  }

  // Where a datum lies on the page, for a pointer that the keyboard moves.
  function locate(svg, target) {
    const middle = (name, value) => {
      const scale = svg.scale(name);
      return scale.apply(value) + (scale.bandwidth ? scale.bandwidth / 2 : 0);
    };
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    return {
      clientX: box.left + middle("x", target.x) * box.width / view.width,
      clientY: box.top + middle("y", target.y) * box.height / view.height,
    };
  }

  function addKeys(canvas, readout, state) {
    let at = -1;
    canvas.addEventListener("keydown", (event) => {
      const count = state.targets.length, page = Math.max(1, Math.round(count / 20));
      const moves = { ArrowRight: 1, ArrowLeft: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
      if (event.key === "Escape" && state.svg) state.svg.dispatchEvent(new PointerEvent("pointerleave"));
      if (!(event.key in moves) || !count) return;
      event.preventDefault();
      at = Math.max(0, Math.min(count - 1, at + moves[event.key]));
      const place = { ...locate(state.svg, state.targets[at]), pointerType: "mouse" };
      state.svg.dispatchEvent(new PointerEvent("pointerenter", place));
      state.svg.dispatchEvent(new PointerEvent("pointermove", place));
      readout.textContent = state.targets[at].title.replaceAll("\n", ", ");
    });
    canvas.addEventListener("blur", () => state.svg?.dispatchEvent(new PointerEvent("pointerleave")));
  }

  function show(figure) {
    const plot = plots[Number(figure.dataset.plot)];
    const canvas = figure.querySelector(".canvas"), state = { svg: null, targets: [] };
    const shown = (plot.series || []).map(() => true);
    let drawn = 0;
    const draw = () => {
      const width = Math.max(240, Math.floor(canvas.clientWidth));
      const result = plot.kind === "heat" ? drawHeat(plot, width) : drawSeries(plot, shown, width);
      result.svg.setAttribute("role", "img");
      result.svg.setAttribute("aria-label", plot.title);
      Object.assign(state, result);
      canvas.replaceChildren(result.svg);
      drawn = width;
    };
    buildLegend(figure.querySelector(".legend"), plot, shown, draw);
    addKeys(canvas, figure.querySelector(".readout"), state);
    draw();
    new ResizeObserver(() => {
      if (Math.abs(Math.floor(canvas.clientWidth) - drawn) > 1) requestAnimationFrame(draw);
    }).observe(canvas);
  }

  document.querySelectorAll("figure.plot").forEach(show);
})();
