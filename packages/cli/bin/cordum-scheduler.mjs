#!/usr/bin/env node
// A scheduler of a fleet, under the name that the original's image gives it: `cordum serve --roles scheduler`.
import { launch } from "./launch.mjs";

launch("serve", "--roles", "scheduler");
