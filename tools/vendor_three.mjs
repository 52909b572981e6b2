// Makes src/diorama/pipelines/web/three.js, the one copy of three.js that pages carry inside them.
//
//   node tools/vendor_three.mjs [FOLDER]
//
// FOLDER (a new one in the system's temporary folder by default) gets the two npm packages below; the file is the same
// for the same versions. It is a classic script that defines the global THREE, so that pages open from disk, and it has
// all of three's core, for scenes of other kinds too.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const THREE = "0.187.0", ESBUILD = "0.28.2";
const ENTRY = `
export * from "three";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
`;

const folder = resolve(process.argv[2] ?? mkdtempSync(join(tmpdir(), "three-")));
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "package.json"), '{"private": true}\n');
execFileSync("npm", ["install", "--no-audit", "--no-fund", `three@${THREE}`, `esbuild@${ESBUILD}`], { cwd: folder, stdio: "inherit" });

const require = createRequire(join(folder, "package.json"));
const license = readFileSync(join(folder, "node_modules/three/LICENSE"), "utf8").trim();
const { outputFiles } = await require("esbuild").build({
  stdin: { contents: ENTRY, resolveDir: folder },
  bundle: true, minify: true, write: false, format: "iife", globalName: "THREE", target: "es2022", legalComments: "none",
  charset: "ascii",
});
const head = `/*! three.js ${THREE} (core, GLTFLoader, OrbitControls, TransformControls), bundled by tools/vendor_three.mjs\n\n${license}\n*/\n`;
const web = fileURLToPath(new URL("../src/diorama/pipelines/web/", import.meta.url));
writeFileSync(join(web, "three.js"), head + outputFiles[0].text);
