// A camera and a time that move: turned, pulled, snapped to a view, playing. What is shown there: view.mjs.

import { GridView } from "../shared/grid_view.mjs";
import { ahead, between, cameraAlong, middleDepth, nearer, nearestView, orbited, panned, upOf } from "./camera.mjs";
import { playedTo } from "./playing.mjs";

const GO_MS = 300; // from where one is to a view
const FARTHEST = 30; // times the distance at which a view sees the middle of the scene
const NEAREST = 0.02;

/** A subclass has settings (settings.mjs), used() and what GridView asks for. `view` is a place along the views, or null where the camera is off their path. */
export class Flight extends GridView {
  constructor(host, described) {
    super(host, described);
    this.splats = this.camera = this.pivot = null;
    this.view = 0;
    this.time = 0;
    this.motion = null; // {kind: "play" | "go", since, ...}
  }

  /** Fly in other splats, from the first view and time, or from where `standing` once was. With `stay` camera and time are kept: it is the same scene, fitted anew. */
  enter(splats, stay, at = null) {
    this.splats = splats;
    this.up = upOf(splats.cameras);
    this.motion = null;
    if (stay) this.time = Math.min(this.time, splats.times - 1);
    else this.standThere(at ?? { time: 0, view: 0 });
  }

  /** Where camera and time are, as settings keep it; null at the first view and time, where one begins. */
  get standing() {
    const { time, view, camera, pivot, distance } = this;
    if (view !== null) return time || view ? { time, view } : null;
    return { time, camera, pivot, distance };
  }

  standThere({ time, view, camera, pivot, distance }) {
    const { times, cameras } = this.splats;
    this.time = Math.min(Math.max(time, 0), times - 1);
    this.standAt(Math.min(Math.max(view ?? 0, 0), cameras.length - 1));
    if (camera) Object.assign(this, { view: null, camera, pivot, distance });
  }

  get playing() {
    return this.motion?.kind === "play";
  }

  /** The view that the camera is exactly at, or null. */
  get viewHere() {
    return Number.isInteger(this.view) && !this.motion?.toView ? this.view : null;
  }

  /** The nearest time of the grid. */
  get cellTime() {
    return Math.round(this.time);
  }

  /** Stand at a place along the views, looking as their cameras do; the pivot comes into the middle of what is seen. */
  standAt(view) {
    this.view = view;
    this.camera = cameraAlong(this.splats.cameras, view);
    this.distance = middleDepth(this.splats, this.camera);
    this.pivot = ahead(this.camera, this.distance);
  }

  /** Fly to a view; null: the nearest. What plays through time goes on there. */
  goTo(view) {
    if (!this.splats) return;
    const { cameras } = this.splats;
    const to = Math.min(Math.max(view ?? nearestView(cameras, this.camera, this.distance), 0), cameras.length - 1);
    const then = this.playing && this.settings.play === "time" ? this.motion.direction : 0;
    this.view = null;
    this.moving({ kind: "go", from: this.camera, toView: to, then });
  }

  togglePlay() {
    this.used();
    if (this.playing) this.stop();
    else this.play();
  }

  /** Play from here, forwards or backwards; what plays through views starts on their path. */
  play(direction = 1) {
    if (!this.splats) return;
    const { splats, settings } = this;
    if (settings.play !== "time" && this.view === null) this.standAt(nearestView(splats.cameras, this.camera, this.distance));
    const from = { time: this.time, view: this.view };
    const ended = playedTo(from, 1, direction, settings, { times: splats.times, views: splats.cameras.length }).over;
    if (ended && settings.play !== "view") from.time = direction > 0 ? 0 : splats.times - 1;
    if (ended && settings.play !== "time") from.view = direction > 0 ? 0 : splats.cameras.length - 1;
    this.moving({ kind: "play", from, direction });
  }

  stop() {
    this.motion = null;
    this.rested();
  }

  moveToTime(time) {
    if (!this.splats) return;
    if (this.playing) this.motion = null;
    this.time = Math.min(Math.max(time, 0), this.splats.times - 1);
    this.rested();
  }

  moving(motion) {
    this.motion = { ...motion, since: performance.now() };
    this.drawSoon();
  }

  /** The camera leaves the views' path; time goes on if it plays. */
  leave() {
    if (this.motion?.kind === "go" || (this.playing && this.settings.play === "view")) this.motion = null;
    else if (this.playing) this.motion.from.view = null;
    this.view = null;
  }

  /** Turn about the pivot by angles in radians. */
  orbit(right, higher) {
    this.leave();
    this.camera = orbited(this.camera, this.pivot, this.up, right, higher);
    this.rested();
  }

  /** Pull the picture by {x, y} pixels of a cell. */
  pull(by) {
    this.leave();
    Object.assign(this, panned(this.camera, this.pivot, by));
    this.rested();
  }

  zoom(times) {
    this.leave();
    this.camera = nearer(this.camera, this.pivot, times, NEAREST * this.distance, FARTHEST * this.distance);
    this.rested();
  }

  /** Go on with the motion; whether there still is one. */
  step(now) {
    if (this.motion && this.splats) this.move(now, Math.max(now - this.motion.since, 0));
    return Boolean(this.motion);
  }

  move(now, elapsed) {
    const { splats, motion, settings } = this;
    if (motion.kind === "go") {
      const share = Math.min(elapsed / GO_MS, 1);
      this.camera = between(motion.from, splats.cameras[motion.toView], share * share * (3 - 2 * share));
      if (share < 1) return;
      this.standAt(motion.toView);
      return motion.then ? this.play(motion.then) : this.stop();
    }
    const fps = splats.fps * settings.speed * motion.direction;
    const { time, view, over } = playedTo(motion.from, elapsed, fps, settings, { times: splats.times, views: splats.cameras.length });
    this.time = time;
    if (view !== null && view !== this.view) {
      this.view = view;
      this.camera = cameraAlong(splats.cameras, view);
      this.pivot = ahead(this.camera, this.distance);
    }
    if (over) this.stop();
  }
}
