/** A small real server that answers heartbeats, live users, and questions for tokens. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export const user = (userId: string, more: object = {}) => ({
  userId,
  name: `Name ${userId}`,
  avatar: null,
  since: 1_000_000,
  lastSeen: 1_000_000,
  sessions: 1,
  paths: ["/docs/x"],
  ...more,
});

export const jwt = (exp: number, more: object = {}): string => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part({ sub: "zoë", exp, ...more })}.${"s".repeat(43)}`;
};

export class UserServer {
  readonly beats: { sessionId: string; userToken?: string }[] = [];
  readonly asked: { url: string; authorization: string | undefined; at: number }[] = [];
  readonly streams: ServerResponse[] = [];
  /** What `Presence-User` says of a token. */
  verdict: (token: string) => string = () => "ok";
  /** The status of a stream that is asked for. */
  status: (token: string | undefined) => number = () => 200;
  url = "";
  private readonly server = createServer((request, response) => void this.answer(request, response));

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  get open(): ServerResponse[] {
    return this.streams.filter(({ destroyed, writableEnded }) => !destroyed && !writableEnded);
  }

  say(name: string, data: object): void {
    for (const stream of this.open) stream.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  snapshot(users: object[], totalUsers = users.length): void {
    this.say("snapshot", { activeVisitors: 9, asOf: 1_120_000, users, totalUsers });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader("Access-Control-Allow-Origin", "*");
    response.setHeader("Access-Control-Allow-Headers", "authorization");
    response.setHeader("Access-Control-Expose-Headers", "Presence-User, Presence-Interval");
    if (request.method == "OPTIONS") return void response.writeHead(204).end();
    let body = "";
    for await (const part of request) body += part;
    if (request.url!.endsWith("/heartbeat")) {
      const beat = JSON.parse(body);
      this.beats.push(beat);
      if (beat.userToken) response.setHeader("Presence-User", this.verdict(beat.userToken));
      return void response.writeHead(204).end();
    }
    const { authorization } = request.headers;
    this.asked.push({ url: request.url!, authorization, at: Date.now() });
    const status = this.status(authorization?.replace("Bearer ", ""));
    response.writeHead(status, { "Content-Type": "text/event-stream" });
    if (status != 200) return void response.end();
    this.streams.push(response);
    response.write("retry: 2000\n\n:\n\n");
  }
}
