// Prints the Khronos validator's report on each .glb named on the command line, as JSON.
const fs = require('fs');
const path = require('path');
const validator = require(path.join(process.argv[2], 'gltf-validator'));
Promise.all(
  process.argv.slice(3).map((file) => validator.validateBytes(new Uint8Array(fs.readFileSync(file))))
).then((reports) => console.log(JSON.stringify(reports)));
