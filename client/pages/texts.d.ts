// The service makes this module of the section "live" of a language's catalogue.
declare const texts: typeof import("../../service/web/catalogues/en.json")["live"];
export default texts;
