// Replays the recorded rounds on the network that a reader chooses: the formulas of pipeline/evaluation/network, on the
// same draws. Equal choices give the numbers of data/report.json.
const UNITS = [["s", 1, 120], ["min", 60, 7200], ["h", 3600, 172800], ["days", 86400, Infinity]];
const CHANNELS = { down: 0, up: 1, rtt: 2, loss: 3, compute: 4 };
const SEGMENT = 1460, WINDOW = 10 * SEGMENT, MATHIS = Math.sqrt(3 / 2);

function digits(value) {
  const places = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

function duration(seconds) {
  if (seconds === Infinity) return "never";
  const [name, size] = UNITS.find((unit) => seconds < unit[2]);
  return `${digits(seconds / size)} ${name}`;
}

// Values at shares of all pairs of seed and draw, each of which weighs the same: values that occurred.
function quantiles(values, shares) {
  const sorted = Float64Array.from(values).sort();
  return shares.map((share) => sorted[Math.min(sorted.length, Math.max(1, Math.ceil(share * sorted.length - 1e-6))) - 1]);
}

function interpolated(levels, values, level) {
  if (level <= levels[0]) return values[0];
  for (let place = 1; place < levels.length; place++) {
    if (level <= levels[place]) {
      const share = (level - levels[place - 1]) / (levels[place] - levels[place - 1]);
      return values[place - 1] + share * (values[place] - values[place - 1]);
    }
  }
  return values[values.length - 1];
}

// The normal distribution's quantile: Acklam's rational approximations, with an error below 1.2e-9 of the value.
function normal(level) {
  const a = [-39.69683028665376, 220.9460984245205, -275.9285104469687, 138.357751867269, -30.66479806614716, 2.506628277459239];
  const b = [-54.47609879822406, 161.5858368580409, -155.6989798598866, 66.80131188771972, -13.28068155288572, 1];
  const c = [-0.007784894002430293, -0.3223964580411365, -2.400758277161838, -2.549732539343734, 4.374664141464968, 2.938163982698783];
  const d = [0.007784695709041462, 0.3224671290700398, 2.445134137142996, 3.754408661907416, 1];
  const at = (terms, x) => terms.reduce((sum, term) => sum * x + term, 0);
  if (level > 0.5) return -normal(1 - level);
  if (level < 0.02425) {
    const x = Math.sqrt(-2 * Math.log(level));
    return at(c, x) / at(d, x);
  }
  const x = level - 0.5;
  return (at(a, x * x) * x) / at(b, x * x);
}

function rate(mbits, rtt, loss, share) {
  const bound = (8e-6 * SEGMENT * MATHIS) / (rtt * Math.sqrt(loss));
  return Math.min(mbits, loss > 0 && rtt > 0 ? bound : Infinity, share);
}

function transfer(bytes, mbits, rtt, trips) {
  if (!(bytes > 0)) return 0;
  const speed = (mbits * 1e6) / 8, growth = Math.max((speed * rtt) / WINDOW, 1);
  const slow = Math.min(bytes, (WINDOW * (growth - 1)) / Math.LN2);
  return trips * rtt + rtt * Math.log2(1 + (slow * Math.LN2) / WINDOW) + (bytes - slow) / speed;
}

class Replays {
  constructor(given) {
    this.given = given;
    const text = atob(given.uniforms), count = text.length / 2;
    this.levels = new Float64Array(count);
    for (let i = 0; i < count; i++) this.levels[i] = (text.charCodeAt(2 * i) + 256 * text.charCodeAt(2 * i + 1) + 0.5) / 65536;
    this.slots = given.clients * (given.redraw + 1);
  }

  level(channel, draw, slot) {
    const place = this.given.channels.indexOf(channel);
    return this.levels[(place * this.given.draws + draw) * this.slots + slot];
  }

  // The links of all draws and clients; where they are drawn again in each of so many rounds, those of no round come first.
  choose(choice) {
    this.choice = choice;
    this.kept = new Map();
    const { given } = this, one = given.profiles[choice.profile], at = (values, level) => interpolated(one.quantiles, values, level);
    this.links = [];
    for (let draw = 0; draw < given.draws; draw++) {
      for (let slot = 0; slot < this.slots; slot++) {
        const down = this.level("down", draw, slot), apart = given.coupling === "independent";
        const other = (channel, coupled) => (apart ? this.level(channel, draw, slot) : coupled);
        this.links.push({
          down: at(one.down, down),
          up: at(one.up, other("up", down)),
          rtt: at(one.rtt, other("rtt", 1 - down)) / 1000,
          loss: given.loss_bound && one.loss ? at(one.loss, other("loss", 1 - down)) : 0,
          slowness: Math.exp(given.compute_spread * normal(this.level("compute", draw, slot))),
        });
      }
    }
  }

  // Seconds of each client of a table of work, in a round of so many clients.
  arrivals(work, size, draw, number) {
    const { given } = this, shift = given.redraw ? number * given.clients : 0, key = `${work} ${size} ${draw} ${shift}`;
    if (!this.kept.has(key)) {
      const share = given.server === null ? Infinity : given.server / size, found = new Map();
      const [clients, samples, down, up] = given.work[work];
      clients.forEach((client, row) => {
        const link = this.links[draw * this.slots + shift + client];
        const over = (bytes, mbits) => transfer(bytes * this.choice.scale, rate(mbits, link.rtt, link.loss, share), link.rtt, given.round_trips);
        const seconds = over(down[row], link.down) + samples[row] * given.sample_seconds * link.slowness + over(up[row], link.up);
        // Who received and sent nothing was dropped in the recorded run, and never arrives.
        found.set(client, up[row] === 0 && down[row] > 0 ? Infinity : seconds);
      });
      this.kept.set(key, found);
    }
    return this.kept.get(key);
  }

  // When a round ends, and the share of its uploads that come too late.
  round(who, work, draw, number) {
    const clients = this.given.who[who], { first, deadline } = this.choice;
    const known = this.arrivals(work, clients.length, draw, number);
    const times = clients.map((client) => known.get(client)).sort((one, other) => one - other);
    let wanted = clients.length;
    if (first !== null) wanted = Math.min(wanted, first < 1 ? Math.ceil(+(first * wanted).toFixed(9)) : first);
    if (deadline === null) wanted = Math.min(wanted, times.filter(Number.isFinite).length);
    let end = wanted ? times[wanted - 1] : 0;
    if (deadline !== null) end = Math.min(end, deadline);
    return [end, clients.length ? times.filter((time) => time > end).length / clients.length : 0];
  }

  // Seconds to the end of each round of a run in one draw, and the mean share that is late.
  run(one, draw) {
    const ends = [];
    let total = 0, late = 0, number = 0;
    for (const [count, who, work] of one.rounds) {
      let [end, share] = this.round(who, work, draw, number + 1);
      for (let i = 0; i < count; i++) {
        number += 1;
        if (this.given.redraw && i) [end, share] = this.round(who, work, draw, number);
        total += end;
        late += share;
        ends.push(total);
      }
    }
    return { ends, late: number ? late / number : 0 };
  }

  // Seconds until the last client has its synthetic images; links of no round.
  before(sizes, draw) {
    const { given } = this, clients = sizes.filter((size) => size > 0).length;
    const share = given.server === null ? Infinity : given.server / clients;
    return Math.max(0, ...sizes.map((size, client) => {
      const link = this.links[draw * this.slots + client];
      return transfer(size, rate(link.down, link.rtt, link.loss, share), link.rtt, given.round_trips);
    }));
  }
}

// Everything that the page shows of one case, from the times of its runs.
function told(replays, cases, choice) {
  const { given } = replays, times = cases.map((one, place) => given.runs[place].map((run) => every(given.draws, (draw) => replays.run(run, draw))));
  return cases.map((one, place) => {
    const before = every(given.draws, (draw) => replays.before(one.before, draw));
    const until = one.target ? targets(given, place, times[place], before) : null;
    const other = one.without < 0 ? null : times[one.without];
    const budget = given.budget !== null ? 3600 * given.budget : other && 3600 * Number(middle(all(other, (run) => run.ends.at(-1) / 7200)).toPrecision(6));
    const found = { by: one.by, hours: until && ends(until.flat()), known: until && share(until.flat(), Number.isFinite) };
    found.before = one.before.length ? ends(before) : null;
    found.round = ends(all(times[place], (run) => run.ends.at(-1) / run.ends.length));
    found.late = mean(all(times[place], (run) => run.late));
    found.budget = budget;
    found.accuracy = budget === null ? null : ends(within(given, place, times[place], before, budget));
    found.sooner = until && other && one.without !== place ? sooner(given, place, one.without, until, times) : null;
    return found;
  });
}

const every = (count, make) => Array.from({ length: count }, (_, place) => make(place));
const all = (times, value) => times.flatMap((draws) => draws.map(value));
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const share = (values, test) => values.filter(test).length / values.length;
const ends = (values) => quantiles(values, [0.05, 0.5, 0.95]);
const middle = (values) => quantiles(values, [0.5])[0];

// Seconds until the target, for each seed and draw; never is infinitely long.
function targets(given, place, times, before) {
  return times.map((draws, seed) => draws.map((run, draw) => {
    const reached = given.runs[place][seed].reached;
    return reached ? before[draw] + run.ends[reached - 1] : Infinity;
  }));
}

function within(given, place, times, before, budget) {
  return times.flatMap((draws, seed) => draws.map((run, draw) => {
    const done = run.ends.filter((end) => before[draw] + end <= budget * (1 + 1e-5)).length;
    const last = given.runs[place][seed].tests.filter(([number]) => number <= done).at(-1);
    return last ? last[1] / 10000 : -Infinity;
  }));
}

function sooner(given, place, without, until, times) {
  const cases = given.cases, beside = targets(given, without, times[without], every(given.draws, () => 0)), pairs = [];
  cases[place].seeds.forEach((seed, mine) => {
    const theirs = cases[without].seeds.indexOf(seed);
    if (theirs >= 0) until[mine].forEach((time, draw) => pairs.push(time < beside[theirs][draw]));
  });
  return pairs.length ? share(pairs, Boolean) : null;
}

function spread(found, known = 1, by = 0) {
  if (found === null) return "-";
  if (known === 0) return `not reached by round ${by}`;
  const missing = known < 1 ? `; ${(100 * (1 - known)).toFixed(0)} % not by round ${by}` : "";
  return `${duration(found[1])} (${duration(found[0])} to ${duration(found[2])}${missing})`;
}

function accuracies(found) {
  if (found.every((one) => one === -Infinity)) return "not tested";
  const [low, median, high] = found.map((one) => (one === -Infinity ? "none" : (100 * one).toFixed(1)));
  return `${median} (${low} to ${high})`;
}

function cells(found) {
  return [
    found.hours ? spread(found.hours, found.known, found.by) : "no target",
    spread(found.before),
    spread(found.round),
    `${(100 * found.late).toFixed(1)} %`,
    found.accuracy ? `${accuracies(found.accuracy)} in ${duration(found.budget)}` : "-",
    found.sooner === null ? "-" : `${(100 * found.sooner).toFixed(0)} %`,
  ];
}

// About five round numbers from 0 to beyond a value.
function ticks(high) {
  const wanted = (high > 1e-9 ? high : 1) / 4, power = 10 ** Math.floor(Math.log10(wanted));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= wanted * (1 - 1e-9));
  return every(Math.ceil((high > 1e-9 ? high : 1) / step - 1e-9) + 1, (place) => place * step);
}

function draw(charts, places, found) {
  const known = found.flatMap((one) => (one.hours ? [one.hours[1], one.hours[2]] : [])).filter(Number.isFinite);
  const [name, size] = UNITS.find((unit) => Math.max(...known, 0) < unit[2]), marks = ticks(Math.max(...known, 0) / size);
  const at = (seconds) => `${Math.min(100, (100 * seconds) / size / marks.at(-1)).toFixed(2)}%`;
  charts.forEach((chart, turn) => {
    chart.querySelector(".unit").textContent = `${name} until the target; the whisker is the middle 90 %`;
    const rows = [...chart.querySelectorAll(".row")], axis = rows.pop();
    rows.forEach((row, place) => {
      const one = found[places[turn][place]], hours = one.hours, label = row.dataset.tip.split(": ")[0];
      const bar = row.querySelector(".track"), colour = row.dataset.colour;
      const lines = marks.map((mark) => `<line class="grid" x1="${at(mark * size)}" x2="${at(mark * size)}" y1="0" y2="18"/>`);
      const reached = hours && Number.isFinite(hours[1]), text = hours ? (reached ? duration(hours[1]) : `not reached by round ${one.by}`) : "no target";
      if (reached) {
        lines.push(`<rect class="bar ${colour}" x="0" y="4" width="${at(hours[1])}" height="10"/>`);
        if (Number.isFinite(hours[2])) {
          lines.push(`<line class="whisker" x1="${at(hours[0])}" x2="${at(hours[2])}" y1="9" y2="9"/>`);
          for (const end of [hours[0], hours[2]]) lines.push(`<line class="whisker" x1="${at(end)}" x2="${at(end)}" y1="5" y2="13"/>`);
        }
      }
      bar.innerHTML = lines.join("");
      row.querySelector(".value").textContent = text;
      row.dataset.tip = `${label}: ${hours ? spread(hours, one.known, one.by) : text}`;
    });
    axis.querySelector(".track").innerHTML = marks.map((mark, place) => {
      const kind = place ? (place === marks.length - 1 ? "end" : "mid") : "first";
      return `<text class="${kind}" x="${at(mark * size)}" y="11">${+mark.toFixed(2)}</text>`;
    }).join("");
  });
}

function number(field) {
  const value = Number(field.value);
  return field.value.trim() && value > 0 ? value : null;
}

for (const box of document.querySelectorAll(".live")) {
  const given = JSON.parse(box.querySelector("template").content.textContent), replays = new Replays(given);
  const form = box.querySelector("form"), charts = [...box.querySelectorAll(".chart")], lines = [...box.querySelectorAll("table tr")].slice(1);
  for (const row of box.querySelectorAll(".row .bar")) row.closest(".row").dataset.colour = row.getAttribute("class").split(" ")[1];
  const show = () => {
    const { profile, deadline, first, size } = form.elements, megabytes = number(size) || given.model;
    const choice = { profile: profile.value, deadline: number(deadline), first: number(first), scale: given.model ? megabytes / given.model : 1 };
    replays.choose(choice);
    const found = told(replays, given.cases, choice), late = Math.max(...found.map((one) => one.late));
    draw(charts, given.charts, found);
    found.forEach((one, place) => cells(one).forEach((text, cell) => { lines[place].cells[2 + cell].textContent = text; }));
    box.querySelector("caption").textContent = choice.profile;
    const lost = late ? ` Up to ${(100 * late).toFixed(1)} % of an arm's updates come too late; accuracies are those of the runs in which all count.` : "";
    form.querySelector("output").textContent = `The first ${given.draws} draws.${lost}`;
  };
  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("submit", (event) => { event.preventDefault(); show(); });
}
