// writers.mjs - clients that sign up and that change profiles.
import { Actor, PARK_MS, Person } from './actor.mjs';

export class Newcomers extends Actor {
  constructor(name, seed, doors, makeNames) {
    super(name, seed, doors);
    this.makeNames = makeNames;
    this.made = []; // every acknowledged sign-up
  }

  async step() {
    const wish = this.makeNames();
    const { reply, unclear } = await this.sure('POST', '/api/auth/signup', { body: wish });
    // After an attempt without an answer, "taken" means that it was done.
    const done = reply.status === 201 || (unclear > 0 && reply.problem === 'email_taken');
    if (done) this.made.push({ ...wish, id: reply.json.user?.id });
    else this.surprise(`sign-up after ${unclear} open attempts: ${reply.status} ${reply.text.slice(0, 200)}`);
  }
}

export class Editors extends Actor {
  constructor(name, seed, doors, people) {
    super(name, seed, doors);
    this.profiles = people.map((person) => ({ person: new Person(this, person), bio: '', writes: 0, parked: 0 }));
  }

  async step() {
    const free = this.profiles.filter((profile) => profile.parked < performance.now());
    if (free.length === 0) return new Promise((resolve) => setTimeout(resolve, 50));
    const profile = this.pick(free);
    const bio = `${this.name} ${++profile.writes}`;
    const { reply, unclear } = await profile.person.sure('PATCH', '/api/users/me', { bio });
    if (reply.status !== 200 || reply.json.bio !== bio) this.surprise(`profile: ${reply.status} ${reply.text.slice(0, 200)}`);
    else profile.bio = bio;
    if (unclear) profile.parked = performance.now() + PARK_MS;
    return undefined;
  }
}
