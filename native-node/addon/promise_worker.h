// Work on a libuv thread that settles a promise on the JS thread, and a progress callback that may be called from any
// thread meanwhile.
#pragma once

#include <napi.h>

#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <utility>

#include "convert.h"
#include "status.h"

namespace switchyard {

// Calls a JS function with a fraction; at most a hundred times, from any thread. `undefined` makes it do nothing.
class ProgressCallback {
 public:
  ProgressCallback(Napi::Env env, const Napi::Value& callback) {
    if (callback.IsUndefined() || callback.IsNull()) return;
    if (!callback.IsFunction()) throw bad_argument(env, "onProgress must be a function");
    function_ = Napi::ThreadSafeFunction::New(env, callback.As<Napi::Function>(), "switchyard progress", 0, 1);
    is_set_ = true;
  }
  // On the JS thread, after the work: nothing is reported any more once the promise has settled.
  void release() {
    *released_ = true;
    if (is_set_) function_.Release();
    is_set_ = false;
  }
  void operator()(double fraction) {
    if (!is_set_) return;
    const std::lock_guard lock(mutex_);
    if (fraction < 1 && fraction - last_ < 0.01) return;
    last_ = fraction;
    function_.NonBlockingCall([fraction, released = released_](Napi::Env env, Napi::Function callback) {
      if (!*released) callback.Call({Napi::Number::New(env, fraction)});
    });
  }

 private:
  Napi::ThreadSafeFunction function_;
  bool is_set_ = false;
  std::shared_ptr<bool> released_ = std::make_shared<bool>(false);  // of the JS thread alone
  std::mutex mutex_;
  double last_ = -1;
};

template <typename Result>
class PromiseWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Status(Result* result)>;                         // on a libuv thread
  using Convert = std::function<Napi::Value(Napi::Env env, Result& result)>;  // on the JS thread

  // Starts at once; deletes itself when done. `progress` may be null.
  static Napi::Promise start(Napi::Env env, std::shared_ptr<ProgressCallback> progress, Work work, Convert convert) {
    auto* worker = new PromiseWorker(env, std::move(progress), std::move(work), std::move(convert));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker->Queue();
    return promise;
  }

 protected:
  void Execute() override {
    try {
      status_ = work_(&result_);
    } catch (const std::bad_alloc&) {
      status_ = Status::error(Code::out_of_memory, "not enough memory");
    } catch (const std::exception& error) {
      status_ = Status::error(Code::internal, error.what());
    }
  }
  void OnOK() override {
    const Napi::HandleScope scope(Env());
    if (progress_) progress_->release();
    if (!status_.ok()) return deferred_.Reject(to_error(Env(), status_).Value());
    try {
      deferred_.Resolve(convert_(Env(), result_));
    } catch (const Napi::Error& error) {
      deferred_.Reject(error.Value());
    }
  }

 private:
  PromiseWorker(Napi::Env env, std::shared_ptr<ProgressCallback> progress, Work work, Convert convert)
      : Napi::AsyncWorker(env),
        deferred_(env),
        progress_(std::move(progress)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise::Deferred deferred_;
  std::shared_ptr<ProgressCallback> progress_;
  Work work_;
  Convert convert_;
  Status status_;
  Result result_{};
};

}  // namespace switchyard
