//! The buffer library in a real Lua state, under a host that has nothing else.

use std::mem::offset_of;

use mlua::{LightUserData, Lua, Table, Value};

use super::*;
use crate::buf::Limits;

/// A Lua state with the buffer library, over a store of its own.
pub(crate) struct Host {
    // Dropped in this order: the finalizers need the registration, which
    // needs the store.
    lua: Lua,
    _registration: Registration,
    store: Box<Store>,
}

impl Host {
    pub(crate) fn new(limits: Limits) -> Host {
        let mut store = Box::new(Store::new(limits));
        let pointer: *mut Store = &mut *store;
        // SAFETY: the box keeps its address until after the registration and
        // the state are dropped.
        let registration = unsafe { Registration::new(pointer) };
        // SAFETY: the test scripts are the project's own.
        let lua = unsafe { Lua::unsafe_new() };
        let api: *const BufApi = &BUF_API;
        lua.load(PRELUDE)
            .set_name("=prelude")
            .call::<()>((
                CDEF,
                LightUserData(api.cast_mut().cast()),
                LightUserData(pointer.cast()),
                lua.create_sequence_from(
                    [
                        ("bufobject", include_str!("lib/bufobject.lua")),
                        ("vbuffer", include_str!("lib/vbuffer.lua")),
                        ("iterator", include_str!("lib/iterator.lua")),
                        ("stream", include_str!("lib/stream.lua")),
                    ]
                    .map(|(name, source)| lua.create_sequence_from([name, source]).unwrap()),
                )
                .unwrap(),
            ))
            .unwrap();
        Host {
            lua,
            _registration: registration,
            store,
        }
    }

    /// Runs every function of the table that a test file returns.
    fn run(&self, file: &str, source: &str) {
        let tests: Table = self
            .lua
            .load(source)
            .set_name(format!("@{file}"))
            .eval()
            .unwrap();
        let mut ran = 0;
        for pair in tests.pairs::<String, mlua::Function>() {
            let (name, test) = pair.unwrap();
            if let Err(error) = test.call::<()>(()) {
                panic!("{file}: {name}: {error}");
            }
            ran += 1;
        }
        assert!(ran > 0, "{file} has tests");
    }
}

const PRELUDE: &str = r#"
    local cdef, api, store, libraries = ...
    local ffi = require 'ffi'
    ffi.cdef(cdef)
    host = {
        ffi = ffi,
        buf_api = ffi.cast('const wero_buf_api *', api),
        store = ffi.cast('wero_store *', store),
        parked = 0,
    }
    function host.coroutine_parked(change)
        if change > 0 and host.parked_cap and host.parked >= host.parked_cap then return false end
        host.parked = host.parked + change
    end
    -- Nothing is printed, and errors are not told.
    local nothing = { register_named = function () end, text_of = function () end }
    function nothing.format_coroutine_error(_, err) return err end
    lib = { pprint = nothing }
    for _, library in ipairs(libraries) do
        lib[library[1]] = assert(loadstring(library[2], '@' .. library[1] .. '.lua'))(host, lib)
    end
    haka = {}
    for _, module in pairs { lib.vbuffer, lib.iterator, lib.stream } do
        for name, value in pairs(module) do haka[name] = value end
    end
    function equal(found, wanted, what)
        if found ~= wanted then
            error(('%s: found %s, wanted %s'):format(what or 'value', tostring(found), tostring(wanted)), 2)
        end
    end
    -- The error is exactly this text, without a position.
    function raises(text, fn, ...)
        local ok, message = pcall(fn, ...)
        if ok then error('no error, wanted: ' .. text, 2) end
        equal(message, text, 'error')
    end
"#;

macro_rules! lua_tests {
    ($($name:ident: $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let host = Host::new(Limits::default());
                host.run($file, include_str!(concat!("../../tests/lua/", $file)));
            }
        )*
    };
}

lua_tests! {
    vbuffer: "vbuffer.lua";
    vbuffer_iterator: "vbuffer_iterator.lua";
    vbuffer_stream: "vbuffer_stream.lua";
    vbuffer_stream_blocking: "vbuffer_stream_blocking.lua";
}

#[test]
fn c_layout_is_the_rust_layout() {
    let host = Host::new(Limits::default());
    let offset = |kind: &str, field: &str| -> usize {
        let source = format!("return tonumber(host.ffi.offsetof('{kind}', '{field}'))");
        host.lua.load(source).eval().unwrap()
    };
    assert_eq!(offset("wero_buf_out", "a"), offset_of!(BufOut, a));
    assert_eq!(offset("wero_buf_out", "n"), offset_of!(BufOut, n));
    assert_eq!(offset("wero_buf_out", "c2"), offset_of!(BufOut, c2));
    assert_eq!(offset("wero_buf_out", "p"), offset_of!(BufOut, p));
    assert_eq!(offset("wero_buf_out", "len"), offset_of!(BufOut, len));
    assert_eq!(
        offset("wero_buf_api", "error_text"),
        offset_of!(BufApi, error_text)
    );
    assert_eq!(offset("wero_buf_api", "bytes"), offset_of!(BufApi, bytes));
    assert_eq!(
        offset("wero_buf_api", "release"),
        offset_of!(BufApi, release)
    );
    let size: usize = host
        .lua
        .load("return host.ffi.sizeof('wero_buf_api')")
        .eval()
        .unwrap();
    assert_eq!(size, size_of::<BufApi>());
    assert_eq!(size, NAMES.len() * size_of::<usize>());
}

#[test]
fn buffers_are_freed_with_their_objects() {
    let host = Host::new(Limits::default());
    host.lua
        .load("for i = 1, 1000 do haka.vbuffer_from('x'):clone() haka.vbuffer_stream() end")
        .exec()
        .unwrap();
    host.lua.gc_collect().unwrap();
    host.lua.gc_collect().unwrap();
    assert!(
        host.store.live_buffers() < 10,
        "{} left",
        host.store.live_buffers()
    );
}

#[test]
fn memory_waiting_for_the_collector_is_no_memory_error() {
    let host = Host::new(Limits {
        rule_bytes: 1 << 20,
        ..Limits::default()
    });
    let source = "for i = 1, 2000 do haka.vbuffer_from('x') end";
    host.lua.load(source).exec().unwrap();
    let source = "local kept = {} for i = 1, 2000 do kept[i] = haka.vbuffer_from('x') end";
    let error = host.lua.load(source).exec().unwrap_err().to_string();
    assert!(error.contains("not enough memory"), "{error}");
}

#[test]
fn engine_buffers_outlived_by_their_objects_raise() {
    let mut host = Host::new(Limits::default());
    let ext = host.store.extents.alloc_packet(b"\x12\x34payload");
    let id = host.store.new_over(ext, 0, 9, true).unwrap();
    host.store.extents.release(ext);
    host.lua.globals().set("id", id.0.to_f64()).unwrap();
    let source = "b = haka.buffer_object(id) s = b:sub(0, 2) it = b:pos(2)
        equal(#b, 9) equal(s:asnumber(), 0x1234) equal(it:sub(3):asstring(), 'pay')";
    host.lua.load(source).exec().unwrap();
    host.store.free(id);
    let source = "raises('invalid buffer', function () return #b end)
        raises('invalid buffer iterator', s.asnumber, s)
        raises('invalid buffer iterator', it.advance, it, 1)
        raises('invalid buffer', b.append, b, haka.vbuffer_from('x'))";
    host.lua.load(source).exec().unwrap();
}

#[test]
fn engine_streams_feed_listeners() {
    let mut host = Host::new(Limits::default());
    let stream = host.store.stream_new().unwrap();
    host.lua.globals().set("id", stream.0.to_f64()).unwrap();
    host.lua
        .load(
            "s = haka.stream_object(id) seen = {}
            function listen(self, iter, dir)
                while true do
                    local sub = iter:sub(3)
                    if not sub then break end
                    seen[#seen + 1] = sub:asstring() .. dir
                end
                seen[#seen + 1] = 'end'
            end
            key = s:getcomanager().hash(listen, s)
            function show(piece, dir)
                local current = piece and haka.iterator_at(s, piece)
                haka.run_streamed(s:getcomanager(), key, listen, {}, current, dir)
            end",
        )
        .exec()
        .unwrap();
    let show: mlua::Function = host.lua.globals().get("show").unwrap();
    let piece = host.store.stream_push_bytes(stream, b"").unwrap();
    show.call::<()>((piece, "x")).unwrap();
    for text in [&b"abcd"[..], b"ef", b"g"] {
        let piece = host.store.stream_push_bytes(stream, text).unwrap();
        show.call::<()>((piece, if piece == 1 { "u" } else { "?" }))
            .unwrap();
    }
    host.store.stream_finish(stream).unwrap();
    show.call::<()>((Value::Nil, "?")).unwrap();
    let seen: Vec<String> = host.lua.globals().get("seen").unwrap();
    assert_eq!(seen, ["abcu", "defu", "gu", "end"]);
    let parked: i32 = host.lua.load("return host.parked").eval().unwrap();
    assert_eq!(parked, 0);
}

#[test]
fn rules_that_tamper_get_errors() {
    let host = Host::new(Limits::default());
    let source = r"
        local numbers = { -1, 0, 0.5, 1, 2^31, 2^53, 2^60, 1/0, -1/0, 0/0, 33554433, 67108867 }
        for _, a in ipairs(numbers) do for _, c in ipairs(numbers) do
            local b = haka.vbuffer_from('abcdef')
            for _, object in ipairs { b:sub(1, 3), b:pos(2):sub(2), b:pos(1) } do
                object._a, object._c = a, c
                if rawget(object, '_e') then object._e, object._n = c, a end
                for _, name in ipairs { 'asstring', 'erase', 'select', 'zero', 'available', 'mark',
                    'unmark', 'split', 'flatten', 'size', 'sum', 'copy' } do
                    pcall(function () return object[name](object) end)
                end
                pcall(function () return object:advance(a) end)
                pcall(function () return object:setbits(a, c, 1) end)
            end
            pcall(function () b._b = a return #b end)
            pcall(function () b:sub(a, c):asstring() end)
        end end
        equal(haka.vbuffer_from('ok'):sub():asstring(), 'ok')";
    host.lua.load(source).exec().unwrap();
}
