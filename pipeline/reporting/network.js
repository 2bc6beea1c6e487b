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
