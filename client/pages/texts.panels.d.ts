// The service makes this module of the section "panels" of a language's catalogue.
declare const texts: typeof import("../../service/web/catalogues/en.json")["panels"];
export default texts;
