#include "oneloop/fiber/run.hpp"

#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0::detail {

std::exception_ptr run_main_fiber(loop& l, void (*code)(void*), void* argument) {
  l.check_thread("run");
  struct main_party {
    void (*code)(void*);
    void* argument;
    loop& home;
    context* self = nullptr;
    bool done = false;
  } main{code, argument, l};
  {
    loop_root& root = loop_root::of(l);
    context self{party_kind::fiber,       &l,           fiber_stack::resume,
                 root.children().scope(), &root.self(), spawn_info{"main", {}}};
    main.self = &self;
    fiber_stack stack{self};
    stack.create(
        [](void* p) {
          auto& m = *static_cast<main_party*>(p);
          m.code(m.argument);
          m.self->free_values();
          m.home.note_progress();
          m.done = true;
        },
        &main);
    l.run_until(main.done, &self);
  }
  return l.drain();
}

}  // namespace oneloop::inline v0::detail
