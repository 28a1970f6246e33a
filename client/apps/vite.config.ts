/** Builds the apps as one project would: what they have in common is one chunk. */

import { svelte } from "@sveltejs/vite-plugin-svelte";
import vue from "@vitejs/plugin-vue";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [vue(), svelte({ configFile: false })],
  build: {
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ["react", "vue", "svelte"].map((app) => `${app}/index.html`) },
  },
});
