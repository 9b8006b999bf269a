// Helpers for the tests of applications. Node only; any test runner.

export { type BrokerOptions, startBroker, TestBroker } from "./broker.js";
export { Line } from "./line.js";
