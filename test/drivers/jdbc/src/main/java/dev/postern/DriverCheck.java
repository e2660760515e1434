package dev.postern;
public class DriverCheck { public static void main(String[] a) {} }
