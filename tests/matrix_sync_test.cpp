// The matrix over the members of sync/: event, mutex, semaphore, and a select over them.

#include "oneloop/channel/select.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "tests/matrix.hpp"

namespace oneloop::matrix {

class event_case : public primitive {
 public:
  static constexpr const char* name = "event";
  static constexpr bool needs_kernel = false;
  event_case() : primitive{{.by = completion::by_calling}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, waits_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, sets_); }
  std::size_t subjects_waiting() override { return e_.statistics().waiting; }
  void begin_round(int round) override { sets_.round_ = round; }
  void end_round(int) override {
    EXPECT_TRUE(e_.is_set());
    e_.reset();
  }

 private:
  event e_;
  struct waits_side : basic_side {
    event* e_;
    auto operation(int) { return e_->wait(); }
    bool finished(int) {
      EXPECT_TRUE(e_->is_set()) << where();
      return true;
    }
  } waits_{{}, &e_};
  struct sets_side {
    event* e_;
    int round_ = 0;
    auto operation(int) { return yield_now(); }
    bool finished(int) { return true; }
    void call(int round) {
      EXPECT_EQ(round, round_) << where();
      e_->set();
    }
  } sets_{&e_};
};

/// Whoever holds the mutex is alone: the thread sanitizer looks, too.
struct section {
  mutex m;
  int inside = 0;
  int entries = 0;
  void enter() {
    EXPECT_EQ(++inside, 1) << where();
    ++entries;
  }
  void leave() { --inside; }
};

struct locker {
  section* s_;
  mutex_guard guard_;
  auto operation(int) { return s_->m.lock(); }
  bool finished(int, mutex_guard& g) {
    s_->enter();
    guard_ = std::move(g);
    return true;
  }
  void call(int) {
    if (!guard_) return;
    s_->leave();
    guard_.unlock();
  }
};

class mutex_case : public primitive {
 public:
  static constexpr const char* name = "mutex";
  static constexpr bool needs_kernel = false;
  mutex_case() : primitive{{.by = completion::by_calling, .partner_holds = true}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  std::size_t subjects_waiting() override { return s_.m.statistics().waiting; }
  void end_round(int) override {
    EXPECT_FALSE(s_.m.locked());
    EXPECT_EQ(s_.inside, 0);
  }

 private:
  section s_;
  locker one_{&s_, {}}, other_{&s_, {}};
};

class semaphore_case : public primitive {
 public:
  static constexpr const char* name = "semaphore";
  static constexpr bool needs_kernel = false;
  semaphore_case() : primitive{{.by = completion::by_calling}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, takes_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, gives_); }
  std::size_t subjects_waiting() override { return s_.statistics().waiting; }
  void end_round(int round) override {
    EXPECT_EQ(s_.available(), 0u);
    EXPECT_EQ(gives_.given_, round + 1);
  }

 private:
  semaphore s_{0, 1};
  struct takes_side : basic_side {
    semaphore* s_;
    auto operation(int) { return s_->acquire(); }
    bool finished(int) { return true; }
  } takes_{{}, &s_};
  struct gives_side {
    semaphore* s_;
    int given_ = 0;
    auto operation(int) { return yield_now(); }
    bool finished(int) { return true; }
    void call(int round) {
      if (given_ > round) return;  // once a round
      ++given_;
      s_->release();
    }
  } gives_{&s_};
};

/// A lock that comes through a select among a mutex, an event and a semaphore.
class select_lock_case : public primitive {
 public:
  static constexpr const char* name = "select_lock";
  static constexpr bool needs_kernel = false;
  select_lock_case() : primitive{{.by = completion::by_calling, .partner_holds = true}} {}

  std::unique_ptr<party> subject(model m) override { return make_party(m, one_); }
  std::unique_ptr<party> partner(model m) override { return make_party(m, other_); }
  std::size_t subjects_waiting() override { return s_.m.statistics().waiting; }
  void end_round(int) override {
    EXPECT_FALSE(s_.m.locked());
    EXPECT_EQ(never_.statistics().waiting, 0u);
    EXPECT_EQ(none_.statistics().waiting, 0u);
  }

 private:
  section s_;
  event never_;
  semaphore none_{0};
  struct one_side {
    section* s_;
    event* never_;
    semaphore* none_;
    mutex_guard guard_;
    auto operation(int) { return select(never_->wait(), s_->m.lock(), none_->acquire()); }
    template <class Result>
    bool finished(int, Result& r) {
      EXPECT_EQ(r.index(), 1u) << where();
      s_->enter();
      guard_ = std::move(r.template get<1>());
      return true;
    }
    void call(int) {
      if (!guard_) return;
      s_->leave();
      guard_.unlock();
    }
  } one_{&s_, &never_, &none_, {}};
  locker other_{&s_, {}};
};

static const bool enrolled = enrol<event_case>() && enrol<mutex_case>() &&
                             enrol<semaphore_case>() && enrol<select_lock_case>();

}  // namespace oneloop::matrix
