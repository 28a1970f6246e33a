// What the shop has: by path, as the visitors in service/web/demo_visitors.py walk about in it.

/** @typedef {{title: string, text: string[], kind?: "tea" | "cup", colour?: string, price?: string, lists?: string[]}} Page */

const TEA = ["/demo/tea/sencha", "/demo/tea/earl-grey", "/demo/tea/darjeeling", "/demo/tea/rooibos"];
const CUPS = ["/demo/cups/blue", "/demo/cups/white"];
const JOURNAL = ["/demo/blog/how-to-brew", "/demo/blog/a-visit-to-uji"];

/** @type {Record<string, Page>} */
export const PAGES = {
  "/demo": {
    title: "Loose leaves, and cups to go with them",
    text: ["We buy from four gardens and two potters, and send it the day you order. The small numbers say how many people are looking at something right now."],
    lists: [...TEA, ...CUPS, ...JOURNAL],
  },
  "/demo/tea": { title: "Tea", text: ["Four of them, 100 g each, picked this spring."], lists: TEA },
  "/demo/tea/sencha": {
    title: "Sencha from Uji", kind: "tea", colour: "#5d7f3a", price: "€ 14.50",
    text: ["Grassy and a little sweet. Water of 70 °C, one minute, and the same leaves again for half as long."],
  },
  "/demo/tea/earl-grey": {
    title: "Earl Grey", kind: "tea", colour: "#34507a", price: "€ 9.80",
    text: ["Keemun with oil of Calabrian bergamot, not with aroma. Boiling water, three minutes."],
  },
  "/demo/tea/darjeeling": {
    title: "Darjeeling, first flush", kind: "tea", colour: "#a8792a", price: "€ 16.00",
    text: ["From a garden at 1,900 m, flown in three weeks after the picking. 90 °C, two and a half minutes."],
  },
  "/demo/tea/rooibos": {
    title: "Rooibos", kind: "tea", colour: "#9a4226", price: "€ 7.20",
    text: ["From the Cederberg, without caffeine, and hard to get wrong: boiling water, six minutes or more."],
  },
  "/demo/cups": { title: "Cups", text: ["Thrown by hand, so that no two are alike. They hold a quarter of a litre."], lists: CUPS },
  "/demo/cups/blue": {
    title: "Blue cup", kind: "cup", colour: "#3c6c94", price: "€ 28.00",
    text: ["Stoneware with a cobalt glaze that runs a little further on each of them."],
  },
  "/demo/cups/white": {
    title: "White cup", kind: "cup", colour: "#b9ad9a", price: "€ 26.00",
    text: ["Porcelain, so thin that one sees the tea through it."],
  },
  "/demo/blog/how-to-brew": {
    title: "How to brew a pot",
    text: [
      "Warm the pot. A spoonful a cup and none for the pot: the saying is from a time of weaker tea.",
      "Green tea wants water that has stood for five minutes, black tea wants it boiling. A timer is worth more than a thermometer.",
    ],
    lists: ["/demo/tea/sencha", "/demo/cups/blue"],
  },
  "/demo/blog/a-visit-to-uji": {
    title: "A visit to Uji",
    text: [
      "The rows are covered with straw for the last three weeks, and under it the light is green.",
      "Mrs Tanaka picks on eleven days of the year. On the others, she says, she worries.",
    ],
    lists: ["/demo/tea/sencha"],
  },
  "/demo/about": {
    title: "About us",
    text: ["Two people and a cellar. This shop is a demo of presence: nothing in it is for sale, and most of those who are here with you are simulated."],
    lists: [],
  },
};
