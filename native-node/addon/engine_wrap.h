// NativeEngine of server/binding.ts.
//
// Events go from the scheduler's thread to JS in one call a step. The process and this object are kept alive only while
// sequences run or close() is under way.
#pragma once

#include <napi.h>

#include <memory>

#include "engine.h"
#include "event_channel.h"

namespace switchyard {

class EngineWrap final : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::FunctionReference define(Napi::Env env);
  static Napi::Object create(Napi::Env env, std::unique_ptr<Engine> engine);

  explicit EngineWrap(const Napi::CallbackInfo& info);  // throws unless called by create
  ~EngineWrap() override;

 private:
  class CloseWorker;

  Napi::Value info(const Napi::CallbackInfo& info);
  Napi::Value start(const Napi::CallbackInfo& info);
  Napi::Value submit(const Napi::CallbackInfo& info);
  Napi::Value cancel(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  static void receive(Napi::Env env, Napi::Function callback, void* receiver,
                      std::unique_ptr<EventChannel::Events> events);
  Engine& open_engine(Napi::Env env);
  void keep_alive(Napi::Env env, bool alive);
  void finish_close(Napi::Env env);
  void shut_down();
  static void before_environment_ends(void* self);

  std::unique_ptr<Engine> engine_;  // null once close() was called
  EngineInfo info_;
  std::shared_ptr<EventChannel> channel_;  // set by start(), shared with the scheduler's thread
  size_t active_ = 0;                      // sequences whose last event has not come
  bool kept_alive_ = false;
  std::unique_ptr<Napi::Promise::Deferred> closing_;  // set by close()
  Napi::ObjectReference closing_promise_;
};

}  // namespace switchyard
