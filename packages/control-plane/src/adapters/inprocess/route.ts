// Who gets the messages of a subject.
// Owns:          the subscriptions, by subject and group; the choice of one member of a group.
// Must not know: how a message is handled.
// R1. Members of a group take turns; one whose queue is full is passed over.
// R2. All or nothing: when one audience has no room, nobody gets the message and the publisher is told.

import { matches, parseSubject } from "../bus/subject.ts";

export interface Member {
  readonly pattern: readonly string[];
  readonly group: string | undefined;
  readonly isFull: boolean;
}

/** Everybody who must get each message of one subject: a subscription without group, or the members of a group. */
interface Audience<M> {
  readonly members: M[];
  next: number;
}

/** Routes of subjects seen lately; above this they are computed again, since subjects may hold ids. */
const ROUTES_MAX = 10_000;

export class Routes<M extends Member> {
  readonly #members = new Set<M>();
  readonly #bySubject = new Map<string, readonly Audience<M>[]>();

  get members(): ReadonlySet<M> {
    return this.#members;
  }

  add(member: M): void {
    this.#members.add(member);
    this.#bySubject.clear();
  }

  remove(member: M): void {
    this.#members.delete(member);
    this.#bySubject.clear();
  }

  /** The members that get the next message: empty when nobody listens, undefined when somebody has no room (R2).
   *  Throws INVALID_REQUEST for what is no subject. */
  choose(subject: string): readonly M[] | undefined {
    const chosen: M[] = [];
    for (const audience of this.#audiencesOf(subject)) {
      const member = nextWithRoom(audience);
      if (member === undefined) return undefined;
      chosen.push(member);
    }
    return chosen;
  }

  #audiencesOf(subject: string): readonly Audience<M>[] {
    const known = this.#bySubject.get(subject);
    if (known !== undefined) return known;
    const tokens = parseSubject(subject);
    const alone: Audience<M>[] = [];
    const groups = new Map<string, Audience<M>>();
    for (const member of this.#members) {
      if (!matches(member.pattern, tokens)) continue;
      const group = member.group === undefined ? undefined : groups.get(member.group);
      if (group !== undefined) {
        group.members.push(member);
        continue;
      }
      const audience = { members: [member], next: 0 };
      if (member.group === undefined) alone.push(audience);
      else groups.set(member.group, audience);
    }
    const audiences = [...alone, ...groups.values()];
    if (this.#bySubject.size >= ROUTES_MAX) this.#bySubject.clear();
    this.#bySubject.set(subject, audiences);
    return audiences;
  }
}

function nextWithRoom<M extends Member>(audience: Audience<M>): M | undefined {
  for (let tried = 0; tried < audience.members.length; tried++) {
    const member = audience.members[audience.next];
    audience.next = (audience.next + 1) % audience.members.length;
    if (member !== undefined && !member.isFull) return member;
  }
  return undefined;
}
