import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.{ts,tsx}"],
    maxWorkers: "100%", // half of their time they wait
    restoreMocks: true,
    unstubGlobals: true,
  },
});
