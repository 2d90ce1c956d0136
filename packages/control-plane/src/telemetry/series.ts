// Series: what a metric has counted, for each combination of its labels.
// Owns:          finding a series by its labels, how many there may be, the buckets of histograms.
// Must not know: names of metrics, how they are rendered.
// Y1. Counting is a lookup and an addition: no text is joined, nothing is sorted or hashed for it.
// Y2. There are at most `seriesMax` series; further label values share the series `other`, so no user can fill the memory with topics.

import { assert } from "../ports/fault.ts";
import type { Labels } from "../ports/telemetry.ts";
import type { MetricSpec } from "./metrics.ts";

export interface Series {
  /** In the order of the metric's labels. */
  readonly labelValues: readonly string[];
  /** Of a histogram: the sum of what was observed. */
  value: number;
  /** Of a histogram: how many were at most as large as the bound, and larger than the one before; the last are above all bounds. */
  readonly buckets: number[];
}

type Branch = Map<string | undefined, Branch | Series>;

const LABEL_CHARS_MAX = 128;
const OTHER = "other";

export class SeriesOfMetric {
  readonly spec: MetricSpec;
  readonly #seriesMax: number;
  readonly #bounds: readonly number[];
  readonly #all: Series[] = [];
  /** A level for each label. */
  readonly #tree: Branch = new Map();
  /** Of a metric without labels: there from the start, at zero. */
  readonly #only: Series | undefined;
  #other: Series | undefined;

  constructor(spec: MetricSpec, seriesMax: number) {
    this.spec = spec;
    this.#seriesMax = seriesMax;
    this.#bounds = spec.buckets ?? [];
    this.#only = spec.labels.length === 0 ? this.#add([]) : undefined;
  }

  get all(): readonly Series[] {
    return this.#all;
  }

  of(labels: Labels): Series {
    const names = this.spec.labels;
    assert(Object.keys(labels).length === names.length, "a metric has exactly its labels");
    if (this.#only !== undefined) return this.#only;
    let found: Branch | Series | undefined = this.#tree;
    for (const name of names) {
      if (!(found instanceof Map)) break;
      found = found.get(labels[name]);
    }
    return found === undefined || found instanceof Map ? this.#create(labels) : found;
  }

  observe(value: number, labels: Labels): void {
    assert(Number.isFinite(value), "what is observed is a number");
    const series = this.of(labels);
    const bounds = this.#bounds;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at++;
    series.buckets[at] = (series.buckets[at] ?? 0) + 1;
    series.value += value;
  }

  #create(labels: Labels): Series {
    const values = this.spec.labels.map((label) => {
      const value = labels[label];
      assert(value !== undefined, "a metric has exactly its labels", { label });
      return value;
    });
    if (this.#all.length >= this.#seriesMax) {
      this.#other ??= this.#add(values.map(() => OTHER));
      return this.#other;
    }
    const series = this.#add(values.map((value) => value.slice(0, LABEL_CHARS_MAX)));
    let branch = this.#tree;
    for (const value of values.slice(0, -1)) {
      const next = branch.get(value);
      const below: Branch = next instanceof Map ? next : new Map();
      branch.set(value, below);
      branch = below;
    }
    branch.set(values.at(-1), series);
    return series;
  }

  #add(labelValues: readonly string[]): Series {
    const buckets = this.spec.type === "histogram" ? Array.from({ length: this.#bounds.length + 1 }, () => 0) : [];
    const series: Series = { labelValues, value: 0, buckets };
    this.#all.push(series);
    return series;
  }
}
