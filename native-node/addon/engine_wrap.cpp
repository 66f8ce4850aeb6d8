#include "engine_wrap.h"

#include "addon_data.h"
#include "convert.h"

namespace switchyard {

Napi::FunctionReference EngineWrap::define(Napi::Env env) {
  return Napi::Persistent(DefineClass(env, "NativeEngine",
                                      {
                                          InstanceAccessor<&EngineWrap::info>("info"),
                                          InstanceMethod<&EngineWrap::start>("start"),
                                          InstanceMethod<&EngineWrap::submit>("submit"),
                                          InstanceMethod<&EngineWrap::cancel>("cancel"),
                                          InstanceMethod<&EngineWrap::stats>("stats"),
                                          InstanceMethod<&EngineWrap::close>("close"),
                                      }));
}

Napi::Object EngineWrap::create(Napi::Env env, std::unique_ptr<Engine> engine) {
  return env.GetInstanceData<AddonData>()->engine_class.New(
      {Napi::External<std::unique_ptr<Engine>>::New(env, &engine)});
}

EngineWrap::EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
  if (info.Length() != 1 || !info[0].IsExternal()) throw bad_argument(info.Env(), "use loadEngine");
  engine_ = std::move(*info[0].As<Napi::External<std::unique_ptr<Engine>>>().Data());
  info_ = engine_->info();
}

EngineWrap::~EngineWrap() {
  if (channel_) napi_remove_env_cleanup_hook(Env(), &EngineWrap::before_environment_ends, this);
  shut_down();
}

void EngineWrap::before_environment_ends(void* self) { static_cast<EngineWrap*>(self)->shut_down(); }

// Joins the engine's threads; no event is sent after it.
void EngineWrap::shut_down() {
  if (channel_) channel_->close();
  engine_.reset();
}

Engine& EngineWrap::open_engine(Napi::Env env) {
  if (!engine_) throw to_error(env, Status::error(Code::cancelled, "the engine is closed"));
  return *engine_;
}

Napi::Value EngineWrap::info(const Napi::CallbackInfo& info) { return write_info(info.Env(), info_); }

Napi::Value EngineWrap::start(const Napi::CallbackInfo& info) {
  Engine& engine = open_engine(info.Env());
  if (!info[0].IsFunction()) throw bad_argument(info.Env(), "onEvents must be a function");
  if (channel_) throw to_error(info.Env(), Status::error(Code::invalid_argument, "the engine has been started before"));
  channel_ = EventChannel::open(info.Env(), info[0].As<Napi::Function>(), this, &EngineWrap::receive);
  channel_->keep_alive(info.Env(), false);
  // Hooks run in reverse order: this one before the channel's own end.
  napi_add_env_cleanup_hook(info.Env(), &EngineWrap::before_environment_ends, this);
  engine.start([channel = channel_](std::vector<TokenEvent>&& events) { channel->send(std::move(events)); });
  return info.Env().Undefined();
}

void EngineWrap::keep_alive(Napi::Env env, bool alive) {
  if (alive == kept_alive_) return;
  kept_alive_ = alive;
  if (channel_) channel_->keep_alive(env, alive);
  if (alive) {
    Ref();
  } else {
    Unref();
  }
}

Napi::Value EngineWrap::submit(const Napi::CallbackInfo& info) {
  Engine& engine = open_engine(info.Env());
  if (!channel_)
    throw to_error(info.Env(), Status::error(Code::invalid_argument, "start the engine before submitting"));
  GenerateRequest request = read_request(info.Env(), info[0]);
  uint64_t sequence = 0;
  if (Status status = engine.submit(std::move(request), &sequence); !status.ok()) throw to_error(info.Env(), status);
  ++active_;
  keep_alive(info.Env(), true);
  return Napi::Number::New(info.Env(), double(sequence));
}

Napi::Value EngineWrap::cancel(const Napi::CallbackInfo& info) {
  const int64_t sequence = read_integer(info.Env(), info[0], "sequence");
  if (engine_ && sequence > 0) engine_->cancel(uint64_t(sequence));
  return info.Env().Undefined();
}

// All zero once closed: whoever watches the numbers need not know.
Napi::Value EngineWrap::stats(const Napi::CallbackInfo& info) {
  return write_stats(info.Env(), engine_ ? engine_->stats() : EngineStats{});
}

void EngineWrap::receive(Napi::Env env, Napi::Function callback, void* receiver,
                         std::unique_ptr<EventChannel::Events> events) {
  auto* self = static_cast<EngineWrap*>(receiver);
  if (!events) return self->finish_close(env);
  Napi::Array list = Napi::Array::New(env, events->size());
  for (size_t i = 0; i < events->size(); ++i) {
    list.Set(uint32_t(i), write_event(env, (*events)[i]));
    if ((*events)[i].finish != Finish::none) --self->active_;
  }
  if (self->active_ == 0 && !self->closing_) self->keep_alive(env, false);
  callback.Call({list});
}

// Destroys the engine away from the JS thread: joining may take a step.
class EngineWrap::CloseWorker final : public Napi::AsyncWorker {
 public:
  CloseWorker(Napi::Env env, EngineWrap* self, std::unique_ptr<Engine> engine)
      : Napi::AsyncWorker(env), self_(self), engine_(std::move(engine)) {}

 protected:
  void Execute() override { engine_.reset(); }
  void OnOK() override {
    const Napi::HandleScope scope(Env());
    if (self_->channel_) {
      self_->channel_->send_end();  // the last events go first
    } else {
      self_->finish_close(Env());
    }
  }

 private:
  EngineWrap* self_;  // alive: close() holds a reference until finish_close
  std::unique_ptr<Engine> engine_;
};

Napi::Value EngineWrap::close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closing_) return closing_promise_.Value();
  closing_ = std::make_unique<Napi::Promise::Deferred>(env);
  closing_promise_ = Napi::Persistent(closing_->Promise().As<Napi::Object>());
  keep_alive(env, true);
  (new CloseWorker(env, this, std::move(engine_)))->Queue();
  return closing_promise_.Value();
}

void EngineWrap::finish_close(Napi::Env env) {
  closing_->Resolve(env.Undefined());
  if (channel_) channel_->close();
  keep_alive(env, false);
}

}  // namespace switchyard
