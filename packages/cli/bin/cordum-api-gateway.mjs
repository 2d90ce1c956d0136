#!/usr/bin/env node
// A gateway of a fleet, under the name that the original's image gives it: `cordum serve --roles gateway`.
import { launch } from "./launch.mjs";

launch("serve", "--roles", "gateway");
