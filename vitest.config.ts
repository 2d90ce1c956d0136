import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** They take minutes, whatever the size of their files: begun last, they would be waited for by one worker alone. */
const LONGEST = ["test/chaos.test.ts", "simulation/jobs/jobs.test.ts", "test/fleet/kill.test.ts"];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId }: TestSpecification): number => {
      const rank = LONGEST.findIndex((path) => moduleId.endsWith(path));
      return rank === -1 ? LONGEST.length : rank;
    };
    return (await super.sort(files)).toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}

export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: ["packages/*/src/**/*.test.ts", "test/**/*.test.ts", "examples/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    execArgv: ["--conditions=source"],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    // Vitest's second is less than a busy machine takes for a round trip to a server.
    expect: { poll: { timeout: 15_000 } },
    globalSetup: ["test/global-setup.ts"],
    reporters: ["default"],
  },
});
