// Workers stay true without a reload.
import { keepFresh } from "./regions.js";

keepFresh(1);
