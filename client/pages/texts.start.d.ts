// The service makes this module of the section "start" of a language's catalogue.
declare const texts: typeof import("../../service/web/catalogues/en.json")["start"];
export default texts;
