#!/usr/bin/env node
// The `cordum` command.
import { launch } from "./launch.mjs";

launch();
