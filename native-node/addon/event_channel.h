// The way of token events from the scheduler's thread to one JS function.
// A send after close, after the environment's end or while the process exits is dropped: the engine's threads may
// outlive the JS side for a moment, and then must not call into it.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "engine.h"

namespace switchyard {

class EventChannel {
 public:
  using Events = std::vector<TokenEvent>;
  // On the JS thread: `events` of one step, or null after send_end.
  using Receive = void (*)(Napi::Env env, Napi::Function callback, void* receiver, std::unique_ptr<Events> events);

  // `receiver` must live until close().
  static std::shared_ptr<EventChannel> open(Napi::Env env, Napi::Function callback, void* receiver, Receive receive);
  ~EventChannel() { close(); }

  void send(Events&& events);  // from any thread
  void send_end();             // from any thread: `receive` gets null after everything sent before
  void close();  // on the JS thread; what was sent before is still received, but not by a dead environment

  // On the JS thread: whether an open channel keeps the process alive.
  void keep_alive(Napi::Env env, bool alive);

  // Once per process: no channel sends any more when exit() has begun.
  static void stop_at_exit();

 private:
  EventChannel(void* receiver, Receive receive) : receiver_(receiver), receive_(receive) {}
  static void call_js(napi_env env, napi_value callback, void* context, void* data);
  void push(Events* events);

  void* receiver_;
  Receive receive_;
  napi_threadsafe_function function_ = nullptr;  // null when closed
};

}  // namespace switchyard
