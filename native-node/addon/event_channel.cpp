#include "event_channel.h"

#include <cstdlib>
#include <mutex>

namespace switchyard {
namespace {

std::mutex gate;  // held over every call into a thread-safe function, so that exit() cannot begin in the midst of one
bool process_exits = false;

void check(napi_env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

}  // namespace

void EventChannel::stop_at_exit() {
  static const bool registered = [] {
    return std::atexit([] {
             const std::lock_guard lock(gate);
             process_exits = true;
           }) == 0;
  }();
  (void)registered;
}

std::shared_ptr<EventChannel> EventChannel::open(Napi::Env env, Napi::Function callback, void* receiver,
                                                 Receive receive) {
  std::shared_ptr<EventChannel> channel(new EventChannel(receiver, receive));
  check(env,
        napi_create_threadsafe_function(env, callback, nullptr, Napi::String::New(env, "switchyard events"), 0, 1,
                                        nullptr, nullptr, channel.get(), &EventChannel::call_js, &channel->function_));
  return channel;
}

void EventChannel::call_js(napi_env raw_env, napi_value raw_callback, void* context, void* data) {
  std::unique_ptr<Events> events(static_cast<Events*>(data));
  if (!raw_env) return;  // the environment is gone: the call is only there to free the data
  const Napi::Env env(raw_env);
  auto* channel = static_cast<EventChannel*>(context);
  try {
    channel->receive_(env, Napi::Function(raw_env, raw_callback), channel->receiver_, std::move(events));
  } catch (const Napi::Error& error) {
    napi_fatal_exception(raw_env,
                         error.Value());  // an exception of the callback is an uncaught exception, as in a timer
  } catch (const std::exception& error) {
    napi_fatal_exception(raw_env, Napi::Error::New(env, error.what()).Value());
  }
}

void EventChannel::send(Events&& events) { push(new Events(std::move(events))); }

void EventChannel::send_end() { push(nullptr); }

void EventChannel::push(Events* events) {
  std::unique_ptr<Events> owned(events);
  const std::lock_guard lock(gate);
  if (!function_ || process_exits) return;
  const napi_status status = napi_call_threadsafe_function(function_, events, napi_tsfn_nonblocking);
  if (status == napi_ok) owned.release();
  if (status == napi_closing) function_ = nullptr;  // it counts as released
}

void EventChannel::close() {
  const std::lock_guard lock(gate);
  if (function_ && !process_exits) napi_release_threadsafe_function(function_, napi_tsfn_release);
  function_ = nullptr;
}

void EventChannel::keep_alive(Napi::Env env, bool alive) {
  if (!function_) return;
  check(env, alive ? napi_ref_threadsafe_function(env, function_) : napi_unref_threadsafe_function(env, function_));
}

}  // namespace switchyard
