//! `wero setup` and `wero doctor` on real firewalls: each test has network
//! namespaces of its own and never touches the one it runs in.

mod firewall {
    mod doctor;
    mod flows;
    mod modes;
    mod net;
    mod rules;
    mod scripts;
    mod selftest;
    mod setup;
}
