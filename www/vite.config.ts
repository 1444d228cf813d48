import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const COMPRESSED = /\.(js|css|html|json|svg)$/;

/** Writes each text file also as `.br` and `.gz`, so that no web worker compresses the same bytes again. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    async writeBundle({ dir }, bundle) {
      for (const name of Object.keys(bundle).filter((name) => COMPRESSED.test(name))) {
        const path = join(dir!, name);
        const bytes = await readFile(path);
        const params = { [constants.BROTLI_PARAM_QUALITY]: bytes.length > 1e5 ? 9 : 11 };
        await writeFile(`${path}.br`, brotliCompressSync(bytes, { params }));
        await writeFile(`${path}.gz`, gzipSync(bytes, { level: 9 }));
      }
    },
  };
}

/** Lets the browser fetch the built-in map of the map page while it still reads the scripts. */
function preloadedMap(): Plugin {
  return {
    name: "preloaded-map",
    apply: "build",
    transformIndexHtml: {
      order: "post",
      handler(_, { bundle, path }) {
        if (path !== "/index.html") return [];
        const name = Object.keys(bundle ?? {}).find((name) => /countries-50m.*\.json$/.test(name));
        if (!name) throw new Error("the build has no built-in map");
        return [{ tag: "link", attrs: { rel: "preload", as: "fetch", href: `/page/${name}`, crossorigin: "" } }];
      },
    },
  };
}

export default defineConfig({
  base: "/page/",
  build: {
    outDir: "dist",
    emptyOutDir: true,
    // Names with a hash of the content, so that browsers may keep them for ever.
    assetsDir: "assets",
    assetsInlineLimit: 0,
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: "index.html", missions: "missions.html" },
      checks: { bundlerTimings: false },
      output: {
        codeSplitting: {
          // What both pages share, with the map and without it: many small files compress worse than two.
          groups: [
            {
              name: "kit",
              test: /preload-helper|\/src\/(api|checks|coordinates|dom|geo|plan|plantext|share|state|stored|theme|units)\.ts$/,
            },
            {
              name: "map",
              test: /\/(leaflet|topojson-client)\/.*\.js$|\/src\/(basemap|colours|export|form|graticule|leafletmap|map|pin)\.ts$/,
            },
          ],
        },
      },
    },
  },
  plugins: [preloadedMap(), compressed()],
  server: { proxy: { "^/(sim|api|login|logout|health|docs|static|openapi.json)": "http://127.0.0.1:8000" } },
  test: { include: ["tests/**/*.test.ts"] },
} as Parameters<typeof defineConfig>[0]);
